/*
 * What the shared object that holds LLVM gives to the library: it is loaded at run time, so that a
 * process which finds its code on disk never pays for LLVM. Both sides are built from this header.
 */
#ifndef CODEGEN_LLVM_PLUGIN_H
#define CODEGEN_LLVM_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>

/* Grows with every change of the struct, and of how text becomes an object. */
enum { LLVM_PLUGIN_VERSION = 1 };

typedef struct llvm_plugin {
    int version;              /* LLVM_PLUGIN_VERSION: first, in every version */
    const char *llvm_version; /* "19.1.7" */
    /* A relocatable object of one module's text, which a NUL ends; false: bad text, or no memory. From
     * any thread, and silent. */
    bool (*compile)(const char *ir, void **object, size_t *bytes);
    void (*release)(void *object);
} llvm_plugin;

/* The one name that the shared object exports. */
#define LLVM_PLUGIN_SYMBOL "thalweg_llvm_plugin"
typedef const llvm_plugin *(*llvm_plugin_entry)(void);

#endif
