/* Which points of a periodic grid a space group maps onto each other.
 *
 * Points are visited in flat order. One that is in no orbit yet begins one, all of whose images are marked: every point
 * is marked about once, however many operations there are. Python sees an empty module; ctypes calls elfzoo_orbits,
 * which releases the interpreter lock. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>

#define EXPORT __attribute__((visibility("default")))

enum { NO_MEMORY = -1, NO_GROUP = -2 };

static int32_t wrapped(int64_t value, int32_t n) {
    const int32_t rest = (int32_t)(value % n);
    return rest < 0 ? rest + n : rest;
}

/* For each operation and each axis of the image: what every coordinate of a point adds to it, within [0, n). The shift
 * is in the part of x. Sums of three are then below 3 n, and no division is left in the loop. */
static int32_t *contributions(const int32_t *shape, int32_t n_operations, const int32_t *matrices, const int32_t *shifts) {
    const int64_t width = (int64_t)shape[0] + shape[1] + shape[2];
    int32_t *table = malloc(n_operations * 3 * width * sizeof *table), *next = table;
    for (int64_t row = 0; table && row < 3 * (int64_t)n_operations; row++)
        for (int from = 0; from < 3; from++)
            for (int32_t i = 0; i < shape[from]; i++)
                *next++ = wrapped((int64_t)matrices[3 * row + from] * i + (from ? 0 : shifts[row]), shape[row % 3]);
    return table;
}

static int32_t image(const int32_t *of, const int32_t *shape, int32_t x, int32_t y, int32_t z) {
    const int32_t width = shape[0] + shape[1] + shape[2];
    int32_t flat = 0;
    for (int axis = 0; axis < 3; axis++, of += width) {
        int32_t place = of[x] + of[shape[0] + y] + of[shape[0] + shape[1] + z];
        place -= place >= 2 * shape[axis] ? 2 * shape[axis] : place >= shape[axis] ? shape[axis] : 0;
        flat = flat * shape[axis] + place;
    }
    return flat;
}

/* matrices (operations, 3, 3) and shifts (operations, 3) in grid steps; representatives has room for as many as there
 * are points; inverse (points,) is the place of each point's representative. Fewer than 2^31 / 3 points along an axis.
 * The number of orbits, or what is wrong. */
EXPORT int32_t elfzoo_orbits(const int32_t *shape, int32_t n_operations, const int32_t *matrices, const int32_t *shifts,
                             int32_t *representatives, int32_t *inverse) {
    const int32_t width = shape[0] + shape[1] + shape[2], size = shape[0] * shape[1] * shape[2];
    int32_t *table = contributions(shape, n_operations, matrices, shifts), count = 0;
    if (!table) return NO_MEMORY;
    for (int32_t i = 0; i < size; i++) inverse[i] = -1;
    for (int32_t point = 0; point < size; point++) {
        if (inverse[point] >= 0) continue;
        const int32_t z = point % shape[2], y = point / shape[2] % shape[1], x = point / shape[2] / shape[1];
        for (int32_t o = 0; o < n_operations; o++) {
            const int32_t q = image(table + (int64_t)o * 3 * width, shape, x, y, z);
            if (inverse[q] >= 0 && inverse[q] != count) goto no_group;
            inverse[q] = count;
        }
        if (inverse[point] != count) goto no_group; /* no operation leaves it in place */
        representatives[count++] = point;
    }
    free(table);
    return count;
no_group:
    free(table);
    return NO_GROUP;
}

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_orbits", .m_size = 0};

PyMODINIT_FUNC PyInit__orbits(void) { return PyModule_Create(&definition); }
