/*
 * GPT-2's first step (Radford et al. 2019, encoder.py): text into words that no token crosses, by
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 */
#ifndef IO_PRETOKEN_H
#define IO_PRETOKEN_H

#include <stddef.h>

/* Where the word that starts at `at` ends; at < end. Each byte that is no part of well-formed UTF-8
 * counts as a character of its own that is neither letter, number nor space. */
const char *pretoken_end(const char *at, const char *end);

#endif
