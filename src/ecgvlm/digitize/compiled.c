/* What following a trace does column by column, and the solution of a bent surface, compiled where a C compiler was at
   hand when the package was built; see `ecgvlm.digitize.compiled`. NumPy's way of it, which is what is meant, stands
   beside each call. */

#include <math.h>
#include <stdint.h>

#define REACH 64   /* rows: a path moves up or down by fewer in one column */
#define AT_ONCE 4  /* columns whose heights are added up side by side: each alone waits for its last sum */

/* Once more for processors with wider registers, where the loader can choose; with all that is called inside. */
#if defined(__x86_64__) && defined(__gnu_linux__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#define WIDE_AND_FUSED __attribute__((target_clones("fma", "default")))
#else
#define WIDE
#define WIDE_AND_FUSED
#endif
#define INSIDE static inline __attribute__((always_inline))

INSIDE float least(float a, float b) { return a < b ? a : b; }

/* The least of every value and those `apart`, twice and three times as far on. */
INSIDE void swept(int64_t n, int64_t apart, const float *restrict from, float *restrict to)
{
    for (int64_t y = 0; y < n; y++)
        to[y] = least(least(from[y], from[y + apart]), least(from[y + 2 * apart], from[y + 3 * apart]));
}

/* The least of the REACH values that begin at each of the first n. work: to work in, as long as `from`. */
INSIDE void least_on(int64_t n, const float *restrict from, float *restrict to, float *restrict work)
{
    swept(n + 60, 1, from, to);
    swept(n + 48, 4, to, work);
    swept(n, 16, work, to);
}

/* The least cost of getting to each row of a column, from `total`, [rows] cost of being in each before. climb: [rows]
   of coming down to each from the top. around: [rows + 2 REACH], infinite beyond the rows. found, work: as long. */
INSIDE void moved(int64_t rows, const float *restrict total, const float *restrict climb, float *restrict around,
                         float *restrict found, float *restrict work, float *restrict out)
{
    for (int64_t y = 0; y < rows; y++)
        around[REACH + y] = total[y] - climb[y];
    least_on(rows, around + 1, found, work); /* what ends at a row */
    for (int64_t y = 0; y < rows; y++)
        out[y] = found[y] + climb[y];
    for (int64_t y = 0; y < rows; y++)
        around[REACH + y] = total[y] + climb[y];
    least_on(rows, around + REACH, found, work); /* what begins there */
    for (int64_t y = 0; y < rows; y++)
        out[y] = least(out[y], found[y] - climb[y]);
}

/* [AT_ONCE, rows] of the columns from x on: what `moved` calls climb. step: as of `cheapest`. */
INSIDE void climbs(int64_t columns, int64_t rows, const float *step, int64_t x, float *restrict climb)
{
    const float *here[AT_ONCE];
    float height[AT_ONCE] = {0};
    for (int64_t k = 0; k < AT_ONCE; k++)
        here[k] = step + (x + k < columns ? x + k : columns - 1) * rows;
    for (int64_t y = 0; y < rows; y++)
        for (int64_t k = 0; k < AT_ONCE; k++)
            climb[k * rows + y] = height[k] += y ? here[k][y] : 0;
}

/* The row from which the cheapest way comes to row y. total: as of `moved`; step: of the column. */
INSIDE int64_t origin(int64_t rows, const float *total, const float *step, int64_t y)
{
    int64_t first = y < REACH ? 0 : y - REACH + 1, beyond = rows - y < REACH ? rows : y + REACH, found = y;
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

   cost, step: [pieces, columns, rows]. total: [columns, rows], and work: [AT_ONCE + 3, rows + 2 REACH], to work in. */
WIDE void cheapest(int64_t pieces, int64_t columns, int64_t rows, const float *cost, const float *step, float *total,
                   float *work, int64_t *way)
{
    int64_t size = rows + 2 * REACH;
    float *around = work, *found = around + size, *spare = found + size, *climb = spare + size;
    for (int64_t k = 0; k < REACH; k++)
        around[k] = around[REACH + rows + k] = INFINITY;
    for (int64_t piece = 0; piece < pieces; piece++) {
        for (int64_t y = 0; y < rows; y++)
            total[y] = cost[y];
        for (int64_t x = 1; x < columns; x++) {
            float *here = total + x * rows;
            if ((x - 1) % AT_ONCE == 0)
                climbs(columns, rows, step, x, climb);
            moved(rows, here - rows, climb + (x - 1) % AT_ONCE * rows, around, found, spare, here);
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

#define BLOCK 8 /* rows of a matrix that are eliminated together */
#define LANES 4

typedef double lanes __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

/* `surface._solved`, in place of `right`, [n + band]: by Cholesky's factors, in place of the matrix [n, band + 2 BLOCK],
   whose row k holds what is on the diagonal there, `band - 1` values below it in the same column, and zeros behind. n,
   band: multiples of BLOCK. Returns 0, or 1 where the matrix is not positive. */
WIDE_AND_FUSED int solved(int64_t n, int64_t band, double *matrix, double *right)
{
    int64_t width = band + 2 * BLOCK;
    for (int64_t first = 0; first < n; first += BLOCK) {
        double *block = matrix + first * width;
        for (int64_t c = 0; c < BLOCK; c++) {
            double *own = block + c * width, root = sqrt(own[0]);
            if (!(root > 0))
                return 1;
            for (int64_t k = 0; k < band; k += LANES)
                *(lanes *)(own + k) /= root;
            for (int64_t d = 1; d < BLOCK - c; d++)
                for (int64_t k = 0; k < band - d; k += LANES)
                    *(lanes *)(own + d * width + k) -= own[d] * *(lanes *)(own + d + k);
        }
        int64_t beyond = first + BLOCK + band - 1 < n ? first + BLOCK + band - 1 : n;
        for (int64_t row = first + BLOCK; row < beyond; row++) {
            double *next = matrix + row * width;
            const double *part[BLOCK];
            double factor[BLOCK];
            for (int64_t c = 0; c < BLOCK; c++) {
                part[c] = block + c * width + row - first - c;
                factor[c] = part[c][0];
            }
            for (int64_t k = 0; k < band + BLOCK - 1 + first - row; k += LANES) {
                lanes left = *(lanes *)(next + k);
#pragma GCC unroll 8
                for (int64_t c = 0; c < BLOCK; c++)
                    left -= factor[c] * *(const lanes *)(part[c] + k);
                *(lanes *)(next + k) = left;
            }
        }
    }
    for (int64_t k = 0; k < n; k++) {
        const double *own = matrix + k * width;
        double found = right[k] /= own[0];
        for (int64_t m = 1; m < band; m += LANES)
            *(lanes *)(right + k + m) -= found * *(const lanes *)(own + m);
    }
    for (int64_t k = 0; k < band; k++)
        right[n + k] = 0;
    for (int64_t k = n - 1; k >= 0; k--) {
        const double *own = matrix + k * width;
        lanes sum = {0};
        for (int64_t m = 1; m < band; m += LANES)
            sum += *(const lanes *)(own + m) * *(const lanes *)(right + k + m);
        right[k] = (right[k] - sum[0] - sum[1] - sum[2] - sum[3]) / own[0];
    }
    return 0;
}
