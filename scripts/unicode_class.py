#!/usr/bin/env python3
"""Writes src/io/unicode_class.c: which characters are letters (general category L*) and which are numbers (N*), from
this Python's Unicode data. Usage: scripts/unicode_class.py > src/io/unicode_class.c"""
import sys
import unicodedata

KINDS = {'L': 1, 'N': 2}


def main():
    runs, kind = [], 0
    for point in range(sys.maxunicode + 1):
        now = KINDS.get(unicodedata.category(chr(point))[0], 0)
        if now != kind:
            runs.append(point << 2 | now)
            kind = now
    lines, line = [], '   '
    for run in runs:
        word = f' 0x{run:x},'
        if len(line) + len(word) > 100:
            lines.append(line)
            line = '   '
        line += word
    lines.append(line)
    print(f'''/*
 * Letters and numbers of Unicode {unicodedata.unidata_version}. Made by scripts/unicode_class.py: change that, not this.
 */
/* clang-format off */
#include "io/unicode_class.h"

/* Where a run of one class starts, in ascending order: first character << 2 | class. */
static const uint32_t runs[] = {{
''' + '\n'.join(lines) + '''
};

enum { RUNS = sizeof runs / sizeof runs[0] };

unicode_class unicode_class_of(uint32_t character) {
    int low = 0, high = RUNS;
    if ((character >= 9 && character <= 13) || character == ' ') return UNICODE_SPACE;
    if (character >= 0x80) {
        /* The property White_Space; it has kept its members since Unicode 6.3. */
        static const uint16_t spaces[] = {0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000};
        for (int i = 0; i < (int)(sizeof spaces / sizeof spaces[0]); i++)
            if (character == spaces[i]) return UNICODE_SPACE;
        if (character >= 0x2000 && character <= 0x200a) return UNICODE_SPACE;
    }
    while (low < high) {
        int middle = (low + high) / 2;
        if (runs[middle] >> 2 <= character) low = middle + 1;
        else high = middle;
    }
    return low ? (unicode_class)(runs[low - 1] & 3) : UNICODE_OTHER;
}''')


if __name__ == '__main__':
    main()
