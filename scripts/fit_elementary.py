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

# tanh and erf in 32 pieces, each a polynomial of degree 5 in d, the distance from a point of the piece. Row 4 has the
# coefficient of d^4, and in the lower half of its bits the upper half of that of d^5. One coefficient after the
# other is rounded, and those that are left are fitted anew to what is left. The first piece has f(d) / d.
def word(number): return int(np.float32(number).view(np.uint32))
def number(bits): return float(np.uint32(bits).view(np.float32))
def top_half(c): return (word(c)+0x8000)&0xffff0000
def with_low_half(c,low): # the number closest to c whose lower half is given
    return min((number((word(c)&0xffff0000)+(k<<16)|low) for k in (-1,0,1)),key=lambda a:abs(a-c))
def piece(f,low,begin,end,first,slope=0): # of f(low + d) - slope d
    x=(begin+end)/2+(end-begin)/2*np.cos(np.pi*(np.arange(96)+.5)/96); d=x-low
    y=np.array([f(t) for t in x]); scale=max(abs(begin-low),abs(end-low))
    weight=1/y
    y=y-slope*d
    if first: y,weight=y/d,weight*d
    known,free={},list(range(6-first))
    def rounded(k,to):
        A=np.array([(d/scale)**n for n in free]).T*weight[:,None]
        rest=(y-sum(c*d**n for n,c in known.items()))*weight
        c=np.linalg.lstsq(A,rest,rcond=None)[0][free.index(k)]/scale**k
        known[k]=to(c); free.remove(k)
    single=lambda c:float(np.float32(c))
    if first: rounded(0,single)
    else: known[0]=single(f(low)); free.remove(0)
    last=5-first
    rounded(last,lambda c:number(top_half(c)))
    rounded(last-1,lambda c:with_low_half(c,word(known[last])>>16))
    for k in range(last-2,0,-1): rounded(k,single)
    row=[known[k] for k in range(last)]
    return [0.0]+row if first else row
def tanh(t): return t-t**3/3+2/15*t**5 if t<1e-3 else math.tanh(t)
def tanh_pieces():
    rows=[None]*32
    for e in range(4):
        for m in range(8):
            low,width=2**e*(1+m/8)-1,2**e/8
            rows[((127+e)&3)*8+m]=([1,0,0,0,0] if low>=9 else piece(tanh,low,low,low+width,low==0))
    return rows
def erf_pieces():
    return [piece(math.erf,i/8,max(i-.5,0)/8,(i+.5)/8,i==0,1) for i in range(31)]+[[1,-1,0,0,0]]
if '--pieces' in sys.argv:
    for name,rows in (('tanh',tanh_pieces()),('erf',erf_pieces())):
        print(f'static const float {name}_pieces[PIECE_ROWS][PIECES] = {{')
        for column in np.array(rows,dtype=np.float32).T:
            words=[f'{float(c):.9g}' for c in column]
            words=[w+('' if '.' in w or 'e' in w else '.0')+'f' for w in words]
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
