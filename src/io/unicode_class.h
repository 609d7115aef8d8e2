/* What a character is, as far as GPT-2's splitting of text asks. */
#ifndef IO_UNICODE_CLASS_H
#define IO_UNICODE_CLASS_H

#include <stdint.h>

typedef enum unicode_class {
    UNICODE_OTHER = 0,
    UNICODE_LETTER = 1, /* general category L */
    UNICODE_NUMBER = 2, /* general category N */
    UNICODE_SPACE = 3   /* property White_Space */
} unicode_class;

unicode_class unicode_class_of(uint32_t character);

#endif
