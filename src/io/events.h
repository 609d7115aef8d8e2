/* The bytes of TensorBoard's event files. */
#ifndef IO_EVENTS_H
#define IO_EVENTS_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli), as of RFC 3720, appendix B.4. */
uint32_t events_crc32c(const void *bytes, size_t count);

enum { EVENTS_TAG = 512, EVENTS_RECORD = EVENTS_TAG + 128 }; /* most bytes of a tag, of a record */

/* One record into out[EVENTS_RECORD]; gives its bytes. The tag has at most EVENTS_TAG bytes. */
size_t events_version(unsigned char *out, double time);
size_t events_scalar(unsigned char *out, double time, int64_t step, const char *tag, float value);

#endif
