/*
 * TensorBoard's event files. A file is a row of records in TensorFlow's TFRecord framing,
 *
 *     u64   length of the message     little-endian
 *     u32   masked CRC-32C of the eight bytes before
 *     message
 *     u32   masked CRC-32C of the message
 *
 * and each message an Event in protocol buffers' encoding (tensorflow/core/util/event.proto,
 * framework/summary.proto):
 *
 *     Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
 *     Summary { repeated Value value = 1; }
 *     Value   { string tag = 1; float simple_value = 2; }
 *
 * The first Event has the file_version "brain.Event:2".
 */
#include "io/events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <thalweg/log.h>
#include <time.h>
#include <unistd.h>

#include "base/context.h"
#include "base/text.h"
#include "io/bytes.h"

enum { FRAME_HEAD = 12 };
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* protocol buffers' wire types */

struct tw_event_log {
    object object;
    FILE *file;
    char *path;
    tw_status status; /* the first failure */
};

uint32_t events_crc32c(const void *bytes, size_t count) {
    const unsigned char *at = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < count; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

static void put_u32(unsigned char *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> 8 * i);
}

/* A file of records may hold records: TensorFlow rotates and shifts the sum against that. */
static void put_masked_sum(unsigned char *at, const unsigned char *bytes, size_t count) {
    uint32_t crc = events_crc32c(bytes, count);
    put_u32(at, (crc >> 15 | crc << 17) + 0xa282ead8u);
}

static unsigned char *put_varint(unsigned char *at, uint64_t value) {
    for (; value > 127; value >>= 7) *at++ = (unsigned char)(value | 128);
    *at++ = (unsigned char)value;
    return at;
}

static unsigned char *put_key(unsigned char *at, int field, int wire) {
    return put_varint(at, (uint64_t)(field << 3 | wire));
}

static unsigned char *put_bytes(unsigned char *at, int field, const void *bytes, size_t count) {
    at = put_varint(put_key(at, field, BYTES), count);
    memcpy(at, bytes, count);
    return at + count;
}

static unsigned char *put_time(unsigned char *at, double time) {
    uint64_t bits;
    memcpy(&bits, &time, sizeof bits);
    at = put_key(at, 1, FIXED64);
    bytes_put_little_u64(at, bits);
    return at + sizeof bits;
}

/* The message stands from out + FRAME_HEAD to `end`. */
static size_t frame(unsigned char *out, unsigned char *end) {
    size_t length = (size_t)(end - out) - FRAME_HEAD;
    bytes_put_little_u64(out, length);
    put_masked_sum(out + 8, out, 8);
    put_masked_sum(end, out + FRAME_HEAD, length);
    return FRAME_HEAD + length + 4;
}

size_t events_version(unsigned char *out, double time) {
    static const char version[] = "brain.Event:2";
    unsigned char *at = put_time(out + FRAME_HEAD, time);
    return frame(out, put_bytes(at, 3, version, sizeof version - 1));
}

size_t events_scalar(unsigned char *out, double time, int64_t step, const char *tag, float value) {
    unsigned char inner[EVENTS_TAG + 32], outer[EVENTS_TAG + 64];
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    unsigned char *at = put_key(put_bytes(inner, 1, tag, strlen(tag)), 2, FIXED32);
    put_u32(at, bits);
    unsigned char *end = put_bytes(outer, 1, inner, (size_t)(at + 4 - inner));
    at = put_time(out + FRAME_HEAD, time);
    if (step) at = put_varint(put_key(at, 2, VARINT), (uint64_t)step); /* zero is left out */
    return frame(out, put_bytes(at, 5, outer, (size_t)(end - outer)));
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

static tw_status refuse(tw_event_log *log, const char *what) {
    tw_context *context = log->object.context;
    log->status = context_error(context, TW_ERR_IO, "event file '%s': %s: %s", log->path, what,
                                strerror(errno));
    return log->status;
}

static void destroy(object *it) {
    tw_event_log *log = (tw_event_log *)it;
    if (log->file && fclose(log->file) && !log->status) refuse(log, "cannot write");
    context_release(it->context, log->path);
}

/* A name that no other log has: the time, the host, the process, a number. */
static bool choose_name(tw_event_log *log, const char *folder, double time) {
    text path = {.context = log->object.context};
    char host[256] = "";
    struct stat facts;
    if (gethostname(host, sizeof host - 1) || !*host) strcpy(host, "host");
    for (int number = 0; number < 1000; number++) {
        text_drop(&path);
        path = (text){.context = log->object.context};
        text_add(&path, "%s/events.out.tfevents.%lld.%s.%ld.%d", folder, (long long)time, host,
                 (long)getpid(), number);
        if (path.failed || stat(path.at, &facts)) break;
    }
    log->path = text_take(&path);
    return log->path != NULL;
}

static tw_status write_record(tw_event_log *log, const unsigned char *record, size_t bytes) {
    if (log->status) return log->status;
    return fwrite(record, 1, bytes, log->file) == bytes ? TW_OK : refuse(log, "cannot write");
}

tw_event_log *tw_event_log_new(tw_context *context, const char *folder) {
    if (!context) return NULL;
    if (!folder) {
        context_error(context, TW_ERR_NULL, "tw_event_log_new: the folder is NULL");
        return NULL;
    }
    tw_event_log *log = object_new(context, sizeof *log, destroy);
    unsigned char record[EVENTS_RECORD];
    double time = now();
    if (!log || !choose_name(log, folder, time)) {
        object_drop(log);
        return NULL;
    }
    if (mkdir(folder, 0777) && errno != EEXIST)
        refuse(log, "cannot make its folder");
    else if (!(log->file = fopen(log->path, "wbxe")))
        refuse(log, "cannot make it");
    else
        write_record(log, record, events_version(record, time));
    if (!log->status && !tw_event_log_flush(log)) return log;
    object_drop(log);
    return NULL;
}

void tw_event_log_free(tw_event_log *log) { object_drop(log); }

tw_status tw_event_log_scalar(tw_event_log *log, const char *tag, int64_t step, double value) {
    if (!log) return TW_ERR_NULL;
    unsigned char record[EVENTS_RECORD];
    if (!tag || !*tag || strlen(tag) > EVENTS_TAG)
        return context_error(log->object.context, TW_ERR_ARGUMENT,
                             "a tag has 1 to %d bytes, not %zu", EVENTS_TAG, tag ? strlen(tag) : 0);
    return write_record(log, record, events_scalar(record, now(), step, tag, (float)value));
}

tw_status tw_event_log_flush(tw_event_log *log) {
    if (!log) return TW_ERR_NULL;
    if (!log->status && fflush(log->file)) return refuse(log, "cannot write");
    return log->status;
}
