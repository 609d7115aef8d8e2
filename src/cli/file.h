/* Files that the commands write. */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include <stdbool.h>

/* Makes the folder and those above it; false after a message. */
bool file_make_folder(const char *path);
/* Writes a text file; false after a message. */
bool file_write(const char *path, const char *words);

typedef enum drawn { DRAWN = 1, DRAWN_NOT, DRAWN_NO_GRAPHVIZ } drawn;
/* Has Graphviz's `dot` turn DOT text into an SVG file. DRAWN_NOT comes after a message. */
drawn file_draw(const char *dot, const char *path);

#endif
