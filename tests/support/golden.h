/* Whole texts compared with files under tests/golden. */
#ifndef SUPPORT_GOLDEN_H
#define SUPPORT_GOLDEN_H

/* Fails unless tests/golden/NAME holds exactly `actual`; says where they differ first. With
 * THALWEG_UPDATE_GOLDEN=1 in the environment the file is written instead. */
void golden_compare(const char *name, const char *actual);

#endif
