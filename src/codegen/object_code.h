/*
 * Relocatable objects of x86-64 (ELF, System V psABI) into memory that can be run: the few kinds of section
 * and relocation that generated kernels have. An object comes from a file that anybody may have written:
 * nothing outside of it is read, and what is not understood is refused.
 */
#ifndef CODEGEN_OBJECT_CODE_H
#define CODEGEN_OBJECT_CODE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct object_code {
    void *image;
    size_t bytes;
    void *kernel; /* the function @kernel in it */
} object_code;

/* False when the object is none, refers to something unknown, or memory is out. */
bool object_code_load(const void *object, size_t bytes, object_code *out);
void object_code_free(object_code *code);

#endif
