/* A picture's part at another size, antialiased. Touches no context; memory is malloc's. */
#ifndef IO_RESIZE_H
#define IO_RESIZE_H

#include "io/image.h"

/* A part of a picture in pixels, from its upper left corner; sides are above 0 and it lies inside. */
typedef struct image_box {
    double y, x, height, width;
} image_box;

/*
 * out (height, width, channels) as 0 to 255: the triangle filter of Pillow's BILINEAR, which is as
 * wide as the reduction, so that every pixel counts; unlike there, nothing is rounded between the two
 * passes. Pixels that lie outside the box but inside the picture count too, where the filter
 * reaches them. False: no memory.
 */
bool image_resize(const image *from, image_box box, int64_t height, int64_t width, float *out);

#endif
