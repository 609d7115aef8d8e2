#!/usr/bin/env python3
"""Prints the coefficients of src/base/elementary.h: weighted least squares towards the minimax polynomial
(Lawson 1961), each error measured relative to the function. With --pieces, src/base/elementary_pieces.h.
Needs numpy."""
import numpy as np, math, sys
from numpy.polynomial import chebyshev as C, polynomial as P
def fit(f, lo, hi, deg, weight=lambda x:1.0, n=4000, iters=60):
    # Lawson-weighted least squares towards minimax
    k=np.arange(n); x=(lo+hi)/2+(hi-lo)/2*np.cos(np.pi*(k+.5)/n)
    y=np.array([f(t) for t in x]); w=np.array([weight(t) for t in x])
    A=np.vander((2*x-lo-hi)/(hi-lo),deg+1,increasing=True)
    T=C.chebvander((2*x-lo-hi)/(hi-lo),deg)
    lam=np.ones(n)/n
    best=None
    for _ in range(iters):
        s=np.sqrt(lam)*w
        c,*_=np.linalg.lstsq(T*s[:,None],y*s,rcond=None)
        e=np.abs((T@c-y)*w)
        if best is None or e.max()<best[0]: best=(e.max(),c)
        lam=lam*e; lam/=lam.sum()
    c=C.cheb2poly(best[1]); # in u=(2x-lo-hi)/(hi-lo)
    # to x
    a=2/(hi-lo); b=-(lo+hi)/(hi-lo)
    p=np.array([0.0])
    base=np.array([b,a]); pw=np.array([1.0])
    for ck in c:
        p=P.polyadd(p,ck*pw); pw=P.polymul(pw,base)
    return best[0],p

# tanh and erf in 32 pieces, each a polynomial in the distance from its lower end. That of the first piece is
# without its constant, so that it is good relative to the function: f(d) = d + d^2 p(d) for tanh, whose
# slope at 0 is 1, and d + d p(d) for erf.
def piece(f,low,width,degree):
    half=width/2; k=np.arange(64); u=np.cos(np.pi*(k+.5)/64)
    chebyshev=C.chebfit(u,np.array([f(low+half*(1+v)) for v in u]),degree)
    powers,total,power=C.cheb2poly(chebyshev),np.array([0.0]),np.array([1.0])
    for c in powers:
        total=P.polyadd(total,c*power); power=P.polymul(power,np.array([-1.0,1/half]))
    return list(total)
def tanh_rest(t): return -t/3+2/15*t**3 if t<1e-3 else (math.tanh(t)/t-1)/t
def erf_rest(t): return (2/math.sqrt(math.pi)*(1-t*t/3) if t<1e-4 else math.erf(t)/t)-1
def tanh_pieces():
    rows=[None]*32
    for e in range(4):
        for m in range(8):
            low,width=2**e*(1+m/8)-1,2**e/8
            rows[((127+e)&3)*8+m]=([0,1]+piece(tanh_rest,0,width,3) if low==0 else
                                   [1,0,0,0,0,0] if low>=9 else piece(math.tanh,low,width,5))
    return rows
def erf_pieces():
    return [[0]+piece(erf_rest,0,1/8,4)]+[piece(math.erf,i/8,1/8,5) for i in range(1,32)]
if '--pieces' in sys.argv:
    for name,rows in (('tanh',tanh_pieces()),('erf',erf_pieces())):
        print(f'static const float {name}_pieces[PIECE_NUMBERS][PIECES] = {{')
        for column in np.array(rows,dtype=np.float32).T:
            words=[f'{float(c):.9g}'+('.0' if float(c)==int(c) else '')+'f' for c in column]
            print('    {'+',\n     '.join(', '.join(words[k:k+6]) for k in range(0,32,6))+'},')
        print('};')
    sys.exit()
L=math.log(2)/2*1.0001
# exp(r) = 1 + r + r^2 * q(r)
e,p=fit(lambda r:(math.expm1(r)-r)/r**2 if abs(r)>1e-3 else 0.5+r/6+r*r/24+r**3/120, -L, L, 4, weight=lambda r:r*r/math.exp(r))
print('exp',e,[float(np.float32(c)) for c in p])
# log(1+f) = f - f^2/2 + f^3 * q(f), f in [sqrt.5-1, sqrt2-1]
lo,hi=math.sqrt(.5)-1,math.sqrt(2)-1
def lq(f):
    if abs(f)<1e-2: return sum((-1)**k*f**k/(k+3) for k in range(0,12))
    return (math.log1p(f)-f+f*f/2)/f**3
e,p=fit(lq,lo,hi,7,weight=lambda f:abs(f**3/math.log1p(f)) if abs(f)>1e-9 else 0)
print('log',e,[float(np.float32(c)) for c in p])
# sin r = r + r s q(s), cos r = 1 - s / 2 + s^2 q(s), s = r^2, |r| <= pi / 4
H=(math.pi/4*1.0001)**2
def sq(s): return (math.sin(math.sqrt(s))/math.sqrt(s)-1)/s if s>1e-3 else -1/6+s/120-s*s/5040
def cq(s): return (math.cos(math.sqrt(s))-1+s/2)/s**2 if s>1e-2 else 1/24-s/720+s*s/40320
e,p=fit(sq,0,H,2,weight=lambda s:s)
print('sin',e,[float(np.float32(c)) for c in p])
e,p=fit(cq,0,H,2,weight=lambda s:s*s)
print('cos',e,[float(np.float32(c)) for c in p])
# 2 / pi from bit 26 b + 1 on: 26 bits, 26 bits, and what follows as a double
from fractions import Fraction
def arctan_inverse(n):
    total,term,k=0,(1<<400)//n,0
    while term:
        total+=(-1)**k*(term//(2*k+1)); term//=n*n; k+=1
    return total
two_over_pi=(1<<801)//(4*(4*arctan_inverse(5)-arctan_inverse(239)))
bits=lambda first,n:(two_over_pi>>(400-first-n))&((1<<n)-1)
for b in range(4):
    at=26*b
    piece=lambda first,n:float(Fraction(bits(first,n),1<<(first+n))).hex()
    print('2/pi',b,piece(at,26),piece(at+26,26),piece(at+52,80))
