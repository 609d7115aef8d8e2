/* A user's C file as a shared object, by the system's compiler. */
#ifndef CLI_COMPILE_H
#define CLI_COMPILE_H

/* Compiles the file and loads it: dlopen's handle, or NULL after a message. Nothing stays on disk. */
void *compile_load(const char *path);
/* The handle of a shared object; NULL after a message. */
void *compile_open(const char *path);

#endif
