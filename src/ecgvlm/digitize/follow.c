/* What following a trace does column by column, compiled where a C compiler was at hand when the package was
   built; see `ecgvlm.digitize.compiled`. NumPy's way of it, which is what is meant, stands beside each call. */

#include <math.h>
#include <stdint.h>

#define BLOCK 64 /* rows: a path moves up or down by fewer in one column */

static float least(float a, float b) { return a < b ? a : b; }

/* The least cost of getting to each row of a column, from `total`, [rows] cost of being in each before. step: as of
   `cheapest`. work: [5, whole blocks of rows and one more].

   The least of the BLOCK values that end at a row, or begin there, is that of what lies in its own block and of
   what lies in the block beside it (van Herk 1992). */
static void moved(int64_t rows, const float *total, const float *step, float *work, float *out)
{
    int64_t whole = (rows + BLOCK - 1) / BLOCK * BLOCK, size = whole + BLOCK;
    float *climb = work, *down = climb + size, *up = down + size, *from_above = up + size, *from_below = from_above + size;
    float height = 0;
    for (int64_t y = 0; y < rows; y++) {
        height += y ? step[y] : 0;
        climb[y] = height;
    }
    for (int64_t y = 0; y < rows; y++) {
        down[y] = total[y] - climb[y];
        up[y] = total[y] + climb[y];
    }
    for (int64_t y = rows; y < size; y++)
        down[y] = up[y] = INFINITY;
    for (int64_t block = 0; block < whole; block += BLOCK) { /* of its own block: what lies above, or below */
        float above = INFINITY, below = INFINITY;
        for (int64_t k = 0; k < BLOCK; k++) {
            int64_t y = block + k, z = block + BLOCK - 1 - k;
            from_above[y] = above = least(above, down[y]);
            from_below[z] = below = least(below, up[z]);
        }
    }
    for (int64_t block = 0; block < size; block += BLOCK) /* of the block beside it, in place */
        for (int64_t k = 1; k < BLOCK; k++) {
            int64_t y = block + k, z = block + BLOCK - 1 - k;
            up[y] = least(up[y], up[y - 1]);
            down[z] = least(down[z], down[z + 1]);
        }
    for (int64_t y = 0; y < rows; y++) {
        float above = y < BLOCK ? from_above[y] : least(from_above[y], down[y - BLOCK + 1]);
        float below = least(from_below[y], up[y + BLOCK - 1]);
        out[y] = least(above + climb[y], below - climb[y]);
    }
}

/* The row from which the cheapest way comes to row y. total, step: as of `moved`. */
static int64_t origin(int64_t rows, const float *total, const float *step, int64_t y)
{
    int64_t first = y < BLOCK ? 0 : y - BLOCK + 1, beyond = rows - y < BLOCK ? rows : y + BLOCK, found = y;
    float best = total[y], climb = 0;
    for (int64_t k = y - 1; k >= first; k--) {
        climb += step[k + 1];
        if (total[k] + climb < best) {
            best = total[k] + climb;
            found = k;
        }
    }
    climb = 0;
    for (int64_t k = y + 1; k < beyond; k++) {
        climb += step[k];
        if (total[k] + climb < best) {
            best = total[k] + climb;
            found = k;
        }
    }
    return found;
}

/* `trace._cheapest`: [pieces, columns] rows of the cheapest way through every piece.

   cost, step: [pieces, columns, rows]. total: [columns, rows] and work: as of `moved`, to work in. */
void cheapest(int64_t pieces, int64_t columns, int64_t rows, const float *cost, const float *step, float *total,
              float *work, int64_t *way)
{
    for (int64_t piece = 0; piece < pieces; piece++) {
        for (int64_t y = 0; y < rows; y++)
            total[y] = cost[y];
        for (int64_t x = 1; x < columns; x++) {
            float *here = total + x * rows;
            moved(rows, here - rows, step + x * rows, work, here);
            for (int64_t y = 0; y < rows; y++)
                here[y] += cost[x * rows + y];
        }
        const float *last = total + (columns - 1) * rows;
        int64_t row = 0;
        for (int64_t y = 1; y < rows; y++)
            row = last[y] < last[row] ? y : row;
        for (int64_t x = columns - 1; x > 0; x--) {
            way[x] = row;
            row = origin(rows, total + (x - 1) * rows, step + x * rows, row);
        }
        way[0] = row;
        cost += columns * rows;
        step += columns * rows;
        way += columns;
    }
}

static float at(const float *ink, int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    return row < 0 || row >= rows ? 0 : ink[row * columns + column];
}

/* Rows beyond one in which the ink is `inner` at which it is `level`, on its way to `outer` in the next. */
static double beyond(double inner, double outer, double level)
{
    double fall = inner - outer;
    return (inner - level) / (fall > 1e-3 ? fall : 1e-3);
}

/* `stroke._ink_run` in [rows, columns]. */
void ink_run(int64_t rows, int64_t columns, const float *ink, const int64_t *y, const double *beside, float level,
             double *top, double *bottom)
{
    for (int64_t x = 0; x < columns; x++) {
        int64_t away = 0;
        top[x] = bottom[x] = NAN;
        while (away <= beside[x] && away < rows && at(ink, rows, columns, y[x] - away, x) < level &&
               at(ink, rows, columns, y[x] + away, x) < level)
            away++;
        if (away > beside[x] || away >= rows)
            continue;
        int64_t first = at(ink, rows, columns, y[x] - away, x) >= level ? y[x] - away : y[x] + away, last = first;
        while (first > 0 && ink[(first - 1) * columns + x] >= level)
            first--;
        while (last + 1 < rows && ink[(last + 1) * columns + x] >= level)
            last++;
        top[x] = first - beyond(ink[first * columns + x], at(ink, rows, columns, first - 1, x), level);
        bottom[x] = last + beyond(ink[last * columns + x], at(ink, rows, columns, last + 1, x), level);
    }
}
