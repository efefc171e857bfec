/* The page net's layers, what following a trace does column by column, following a grid from tile to tile, the solution of
   a bent surface, and filters, compiled where a C compiler was at hand when the package was built; see `ecgvlm.compiled`.
   NumPy's or ONNX Runtime's way of it, which is what is meant, stands beside each call. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

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
INSIDE float most(float a, float b) { return a > b ? a : b; }

/* The least of every value and those `apart`, twice and three times as far on. */
INSIDE void least_of_four(int64_t n, int64_t apart, const float *restrict from, float *restrict to)
{
    for (int64_t y = 0; y < n; y++)
        to[y] = least(least(from[y], from[y + apart]), least(from[y + 2 * apart], from[y + 3 * apart]));
}

/* The least of the REACH values that begin at each of the first n. work: to work in, as long as `from`. */
INSIDE void least_on(int64_t n, const float *restrict from, float *restrict to, float *restrict work)
{
    least_of_four(n + 60, 1, from, to);
    least_of_four(n + 48, 4, to, work);
    least_of_four(n, 16, work, to);
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

/* `filters._medians` of [rows, n + width - 1]. work: [width]. */
void medians(int64_t rows, int64_t n, int64_t width, const double *values, double *work, double *found)
{
    for (int64_t row = 0; row < rows; row++, values += n + width - 1, found += n) {
        int64_t known = 0; /* of the window, in order */
        for (int64_t x = 0; x < n + width - 1; x++) {
            double next = values[x];
            int64_t place = known;
            if (known < width)
                known++;
            else
                for (place = 0; place < width - 1 && work[place] != values[x - width]; place++)
                    ;
            for (; place > 0 && work[place - 1] > next; place--)
                work[place] = work[place - 1];
            for (; place < known - 1 && work[place + 1] < next; place++)
                work[place] = work[place + 1];
            work[place] = next;
            if (x >= width - 1)
                found[x - width + 1] = work[width / 2];
        }
    }
}

/* `measure.signal._nanmedian` of [before, several, after]. work: [several]. */
void nanmedians(int64_t before, int64_t several, int64_t after, const double *values, double *work, double *found)
{
    for (int64_t row = 0; row < before; row++, values += several * after)
        for (int64_t x = 0; x < after; x++) {
            int64_t known = 0;
            for (int64_t k = 0; k < several; k++) {
                double next = values[k * after + x];
                int64_t place = known;
                if (next != next)
                    continue;
                for (; place > 0 && work[place - 1] > next; place--)
                    work[place] = work[place - 1];
                work[place] = next;
                known++;
            }
            *found++ = known ? (work[(known - 1) / 2] + work[known / 2]) / 2 : NAN;
        }
}

/* `judge.atria._chained`. steps: [rows, several]. total: [rows, n], which holds the signal. back: [rows, n]. */
void chained(int64_t rows, int64_t several, int64_t n, const int64_t *steps, const double *cost, double *total, int64_t *back)
{
    for (int64_t row = 0; row < rows; row++, steps += several, total += n, back += n)
        for (int64_t x = 0; x < n; x++) {
            double most = -INFINITY;
            back[x] = -1;
            for (int64_t k = 0; k < several && steps[k] <= x; k++)
                if (total[x - steps[k]] - cost[k] > most) {
                    most = total[x - steps[k]] - cost[k];
                    back[x] = x - steps[k];
                }
            if (x >= steps[several - 1] || most > 0)
                total[x] += most;
            else
                back[x] = -1;
        }
}

/* `pen._swept` of [levels, n]. rises: [reach, levels, strips]. */
void swept(int64_t reach, int64_t levels, int64_t strips, int64_t n, const float *top, const float *bottom, const float *rises,
           const int64_t *strip, float *upper, float *lower)
{
    for (int64_t level = 0; level < levels; level++, top += n, bottom += n, upper += n, lower += n)
        for (int64_t x = 0; x < n; x++) {
            const float *rise = rises + level * strips + strip[x];
            float high = top[x] + *rise, low = bottom[x] - *rise;
            for (int64_t off = 1; off < reach && *(rise += levels * strips) >= 0; off++) {
                if (x >= off) {
                    high = most(high, top[x - off] + *rise);
                    low = least(low, bottom[x - off] - *rise);
                }
                if (x + off < n) {
                    high = most(high, top[x + off] + *rise);
                    low = least(low, bottom[x + off] - *rise);
                }
            }
            upper[x] = high;
            lower[x] = low;
        }
}

/* The ink at a row of a column whose rows are `apart` in memory, 0 beyond it. */
INSIDE float at(const float *ink, int64_t rows, int64_t apart, int64_t row)
{
    return row < 0 || row >= rows ? 0 : ink[row * apart];
}

/* Rows beyond one in which the ink is `inner` at which it is `level`, on its way to `outer` in the next. */
INSIDE double beyond(double inner, double outer, double level)
{
    double fall = inner - outer;
    return (inner - level) / (fall > 1e-3 ? fall : 1e-3);
}

/* `stroke._ink_run` in one column. */
INSIDE void run(int64_t rows, int64_t apart, const float *ink, int64_t y, double beside, float level, double *top,
                double *bottom)
{
    int64_t away = 0;
    *top = *bottom = NAN;
    while (away <= beside && away < rows && at(ink, rows, apart, y - away) < level &&
           at(ink, rows, apart, y + away) < level)
        away++;
    if (away > beside || away >= rows)
        return;
    int64_t first = at(ink, rows, apart, y - away) >= level ? y - away : y + away, last = first;
    while (first > 0 && ink[(first - 1) * apart] >= level)
        first--;
    while (last + 1 < rows && ink[(last + 1) * apart] >= level)
        last++;
    *top = first - beyond(ink[first * apart], at(ink, rows, apart, first - 1), level);
    *bottom = last + beyond(ink[last * apart], at(ink, rows, apart, last + 1), level);
}

/* `stroke._ink_run` in [rows, columns]. */
void ink_run(int64_t rows, int64_t columns, const float *ink, const int64_t *y, const double *beside, float level,
             double *top, double *bottom)
{
    for (int64_t x = 0; x < columns; x++)
        run(rows, columns, ink + x, y[x], beside[x], level, top + x, bottom + x);
}

#define DOWN 2   /* samples of a px of the page down; `stroke._DOWN` */
#define AROUND 6 /* of them about the middle of a line; `stroke._CENTRE` px */

INSIDE int64_t within(int64_t at, int64_t size) { return at < 0 ? 0 : at < size ? at : size - 1; }

/* `stroke._edges` of columns whose print is `contrast` and `seen`, [n, rows], from `first` px down. levels: [several],
   of them number `plain` tells where the centre is. least, most: what the edges may be. work: [rows], to work in. found:
   [2 several + 1, n]. */
WIDE void edges(int64_t n, int64_t rows, const float *contrast, const float *seen, const double *first,
                const double *path, const double *beside, const double *least, const double *most, const double *depth,
                int64_t several, const float *levels, int64_t plain, double widest, float *restrict work, double *found)
{
    for (int64_t k = 0; k < n; k++, contrast += rows, seen += rows) {
        float plainly = depth[k], darkest = 0;
        for (int64_t r = 0; r < rows; r++) {
            float ink = contrast[r] / plainly;
            work[r] = (ink < 0 ? 0 : ink > 1 ? 1 : ink) * seen[r];
        }
        int64_t row = within(rint((path[k] - first[k]) * DOWN), rows);
        for (int64_t m = 0; m < several; m++) {
            double top, bottom;
            run(rows, 1, work, row, beside[k], levels[m], &top, &bottom);
            top = first[k] + top / DOWN;
            bottom = first[k] + bottom / DOWN;
            found[m * n + k] = top < least[k] ? least[k] : top;
            found[(several + m) * n + k] = bottom > most[k] ? most[k] : bottom;
        }
        double top = found[plain * n + k], bottom = found[(several + plain) * n + k], sum = 0, weight = 0;
        found[2 * several * n + k] = NAN;
        if (!(bottom - top < widest))
            continue;
        int64_t middle = rint(((top + bottom) / 2 - first[k]) * DOWN);
        for (int64_t r = middle - AROUND; r <= middle + AROUND; r++) {
            float print = contrast[within(r, rows)];
            darkest = print > darkest ? print : darkest;
        }
        for (int64_t r = middle - AROUND; r <= middle + AROUND; r++) {
            float print = contrast[within(r, rows)], above = (print > 0 ? print : 0) - 0.4f * darkest;
            double counts = (above > 0 ? above : 0) + 1e-6f;
            sum += counts * r;
            weight += counts;
        }
        found[2 * several * n + k] = first[k] + sum / weight / DOWN;
    }
}

#define NEAR 2 /* bins about one in which a peak is looked for */

/* What a tile's spectrum shows near a frequency: how strong, the frequency found, and its phase at the tile's centre. */
typedef struct {
    double strength, x, y, phase;
} peak;

/* Where between -1/2 and 1/2 a parabola through the logarithms of three values has its top. */
INSIDE double top_of(const float *before, const float *middle, const float *after)
{
    double a = log(hypot(before[0], before[1]) + 1e-9), b = log(hypot(middle[0], middle[1]) + 1e-9);
    double c = log(hypot(after[0], after[1]) + 1e-9), bottom = a - 2 * b + c;
    if (bottom >= -1e-9)
        return 0;
    double top = 0.5 * (a - c) / bottom;
    return top < -0.5 ? -0.5 : top > 0.5 ? 0.5 : top;
}

/* `grid._peak_about` in a tile's spectrum, [tall, wide] of two floats each, and its magnitudes `whitened`. */
INSIDE peak peak_about(int64_t tall, int64_t wide, const float *spectrum, const float *whitened, double fx, double fy)
{
    double sign = fx < 0 ? -1 : 1;
    int64_t west = wide - tall / 2, row = rint(tall / 2 + sign * fy * tall), column = rint(west + sign * fx * tall);
    if (column >= wide - NEAR - 1 || row <= NEAR || row >= tall - NEAR - 1)
        return (peak){0, 0, 0, 0};
    int64_t most = (row - NEAR) * wide + column - NEAR;
    for (int64_t y = row - NEAR; y <= row + NEAR; y++)
        for (int64_t x = column - NEAR; x <= column + NEAR; x++)
            if (whitened[y * wide + x] > whitened[most])
                most = y * wide + x;
    int64_t y = most / wide, x = most % wide;
    const float *at = spectrum + 2 * most;
    double across = x + top_of(at - 2, at, at + 2) - west;
    double down = y + top_of(at - 2 * wide, at, at + 2 * wide) - tall / 2;
    /* (-1)^(x + y) moves the phase from the tile's corner to its centre. */
    double phase = atan2(at[1], at[0]) / (2 * 3.14159265358979323846) + ((x - west + y) & 1) / 2.0;
    return (peak){whitened[most], sign * across / tall, sign * down / tall, sign * phase};
}

/* A tile that is to be looked at, from which other one (-1: none), and how strong that was. */
typedef struct {
    double strength;
    int64_t tile, source;
} next;

INSIDE int before(next a, next b)
{
    if (a.strength != b.strength)
        return a.strength > b.strength;
    return a.tile != b.tile ? a.tile < b.tile : a.source < b.source;
}

/* `grid._follow`: how many tiles were followed. spectra, whitened: of all, as of `peak_about`. at: [tiles, 2] px. start:
   two frequencies. found: [tiles] their numbers. mm: [tiles, 2], frequency: [tiles, 4] of each tile. queue: to work in. */
int64_t follow(int64_t rows, int64_t columns, int64_t tall, int64_t wide, const float *spectra, const float *whitened,
               const double *at, int64_t several, const int64_t *members, const double *start, double cell, double most,
               double least_strong, int64_t *found, double *mm, double *frequency, uint8_t *known, next *queue)
{
    int64_t size = tall * wide, count = 0, waiting = 1;
    double clearest = -1;
    for (int64_t m = 0; m < several; m++) {
        int64_t k = members[m];
        peak one = peak_about(tall, wide, spectra + 2 * k * size, whitened + k * size, start[0], start[1]);
        peak other = peak_about(tall, wide, spectra + 2 * k * size, whitened + k * size, start[2], start[3]);
        double strength = one.strength < other.strength ? one.strength : other.strength;
        if (strength > clearest) {
            clearest = strength;
            queue[0] = (next){0, k, -1};
        }
    }
    while (waiting) {
        int64_t first = 0;
        for (int64_t q = 1; q < waiting; q++)
            first = before(queue[q], queue[first]) ? q : first;
        next here = queue[first];
        queue[first] = queue[--waiting];
        int64_t k = here.tile, from = here.source;
        if (known[k])
            continue;
        const double *near = from < 0 ? start : frequency + 4 * from;
        double strength = INFINITY, change = 0, off = 0, now[2], seen[4];
        for (int way = 0; way < 2; way++) {
            double fx = near[2 * way], fy = near[2 * way + 1];
            peak is = peak_about(tall, wide, spectra + 2 * k * size, whitened + k * size, fx, fy);
            double cycles = is.phase, rest = 0;
            strength = is.strength < strength ? is.strength : strength;
            if (from >= 0) {
                double length = hypot(fx, fy), part = hypot(is.x - fx, is.y - fy) / (length > 1e-9 ? length : 1e-9);
                change = part > change ? part : change;
                double step_x = at[2 * k] - at[2 * from], step_y = at[2 * k + 1] - at[2 * from + 1];
                cycles = mm[2 * from + way] / cell + ((is.x + fx) * step_x + (is.y + fy) * step_y) / 2;
                rest = fmod(is.phase - cycles + 0.5, 1);
                rest += (rest < 0) - 0.5;
            }
            off = fabs(rest) > off ? fabs(rest) : off;
            now[way] = (cycles + rest) * cell;
            seen[2 * way] = is.x;
            seen[2 * way + 1] = is.y;
        }
        if (strength < least_strong || change > most || off > 0.3)
            continue;
        known[k] = 1;
        found[count++] = k;
        memcpy(mm + 2 * k, now, sizeof now);
        memcpy(frequency + 4 * k, seen, sizeof seen);
        int64_t y = k / columns, x = k % columns;
        if (x + 1 < columns)
            queue[waiting++] = (next){strength, k + 1, k};
        if (x > 0)
            queue[waiting++] = (next){strength, k - 1, k};
        if (y + 1 < rows)
            queue[waiting++] = (next){strength, k + columns, k};
        if (y > 0)
            queue[waiting++] = (next){strength, k - columns, k};
    }
    return count;
}

#ifdef __x86_64__ /* Where there is nothing of this, or no AVX2, OpenCV does it. */

#define LANED __attribute__((target("avx2,fma")))
#define LANED_INSIDE static inline __attribute__((always_inline, target("avx2,fma")))
#define CELL 5  /* px of a page from one node of its map to the next; `stroke._NODE` */
#define STEP 8  /* px down a column between two points at which the map is looked up */

typedef float eight __attribute__((vector_size(32)));
typedef int32_t whole __attribute__((vector_size(32)));
typedef uint32_t bits __attribute__((vector_size(32)));

int laned(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

LANED_INSIDE eight least_of(eight a, eight b) { return (eight)_mm256_min_ps((__m256)a, (__m256)b); }
LANED_INSIDE eight most_of(eight a, eight b) { return (eight)_mm256_max_ps((__m256)a, (__m256)b); }
LANED_INSIDE whole lesser(whole a, int32_t b) { return (whole)_mm256_min_epi32((__m256i)a, _mm256_set1_epi32(b)); }
LANED_INSIDE whole cut(eight a) { return (whole)_mm256_cvttps_epi32((__m256)a); }
LANED_INSIDE eight real(whole a) { return (eight)_mm256_cvtepi32_ps((__m256i)a); }
LANED_INSIDE eight all(float a) { return (eight)_mm256_set1_ps(a); }

/* The four bytes at each of eight places. */
LANED_INSIDE bits four_bytes(const uint8_t *from, whole at)
{
    uint32_t four[8]; /* which takes less time than to gather them */
    for (int lane = 0; lane < 8; lane++)
        memcpy(four + lane, from + at[lane], 4);
    bits found;
    memcpy(&found, four, sizeof found);
    return found;
}

LANED_INSIDE int nothing(whole a) { return _mm256_testz_si256((__m256i)a, (__m256i)a); }

/* Of four bytes, the one of this number. */
LANED_INSIDE eight byte(bits four, int number) { return real((whole)(four >> (8 * number) & 255)); }

LANED_INSIDE eight between(eight a, eight b, eight part) { return a + part * (b - a); }

/* Of two px beside each other, two bytes each, what lies `on` from the first to the second. */
typedef struct {
    eight paper, likely;
} print_row;

LANED_INSIDE print_row across(bits two, eight on)
{
    return (print_row){between(byte(two, 0), byte(two, 2), on), between(byte(two, 1), byte(two, 3), on)};
}

/* Each to the next whole number that a byte can be. */
LANED_INSIDE whole to_byte(eight value) { return cut(least_of(most_of(value, all(0)), all(255)) + 0.5f); }

/* What each of four px counts where a value lies `on` from the second to the third of them. */
LANED_INSIDE void cubic(eight on, eight *share)
{
    eight off = 1 - on;
    share[0] = -0.75f * on * off * off;
    share[1] = (1.25f * on - 2.25f) * on * on + 1;
    share[2] = (1.25f * off - 2.25f) * off * off + 1;
    share[3] = -0.75f * off * on * on;
}

/* A picture [height, width] at px between its own. */
LANED_INSIDE whole cubic_px(const uint8_t *picture, int64_t height, int64_t width, eight x, eight y)
{
    eight from_x = (eight)_mm256_floor_ps((__m256)x), from_y = (eight)_mm256_floor_ps((__m256)y);
    whole left = cut(from_x) - 1, top = cut(from_y) - 1;
    eight across[4], down[4], found = all(0);
    cubic(x - from_x, across);
    cubic(y - from_y, down);
    whole beyond = (left < 0) | (left > (int32_t)width - 4) | (top < 0) | (top > (int32_t)height - 4);
    if (nothing(beyond)) {
        whole at = top * (int32_t)width + left;
        for (int k = 0; k < 4; k++, at += (int32_t)width) {
            bits four = four_bytes(picture, at);
            found += down[k] * (across[0] * byte(four, 0) + across[1] * byte(four, 1) + across[2] * byte(four, 2) +
                                across[3] * byte(four, 3));
        }
    } else { /* the edge's px goes on beyond it */
        for (int lane = 0; lane < 8; lane++)
            for (int k = 0; k < 16; k++) {
                int64_t row = within(top[lane] + k / 4, height), column = within(left[lane] + k % 4, width);
                found[lane] += down[k / 4][lane] * across[k % 4][lane] * picture[row * width + column];
            }
    }
    return to_byte(found);
}

/* `stroke._band` of columns at x px of a page, from `first` px down: `contrast` and `seen`, [n, rows].

   grey: the picture, of `picture` rows and columns. mesh: px of it, [2], at the page's nodes, of which `nodes` are rows and
   columns. print: [2] of the page's px, of which `page` are rows and columns. fully: of the second that all is seen. */
LANED void bands(int64_t n, int64_t rows, const double *x, const double *first, const uint8_t *grey,
                 const int64_t *picture, const float *mesh, const int64_t *nodes, const uint8_t *print,
                 const int64_t *page, float fully, float sign, float *contrast, float *seen)
{
    int32_t wide = page[1];
    for (int64_t from = 0; from < n; from += 8) {
        int64_t lanes = n - from < 8 ? n - from : 8;
        eight on, top, px_x, px_y, next_x = {0}, next_y = {0};
        whole left, last = {-1, -1, -1, -1, -1, -1, -1, -1};
        print_row above = {0}, under = {0};
        for (int64_t k = 0; k < 8; k++) {
            int64_t column = from + (k < lanes ? k : 0);
            left[k] = within(x[column], wide - 1);
            on[k] = x[column] - left[k] < 1 ? x[column] - left[k] : 1;
            top[k] = first[column] - 0.5 / DOWN;
        }
        for (int64_t r = 0; r < rows; r++) {
            int step = r % (STEP * DOWN);
            for (int64_t far = r ? r + STEP * DOWN : 0; step == 0 && far <= r + STEP * DOWN; far += STEP * DOWN) {
                px_x = next_x;
                px_y = next_y;
                for (int64_t k = 0; k < 8; k++) {
                    float column = x[from + (k < lanes ? k : 0)] / CELL;
                    float row = fmaxf(0, fminf(nodes[0] - 1, (top[k] + far / DOWN) / CELL));
                    int64_t i = within(column, nodes[1] - 1), j = within(row, nodes[0] - 1);
                    const float *a = mesh + (j * nodes[1] + i) * 2, *c = a + nodes[1] * 2;
                    for (int axis = 0; axis < 2; axis++) {
                        float up = a[axis] + (column - i) * (a[2 + axis] - a[axis]);
                        float low = c[axis] + (column - i) * (c[2 + axis] - c[axis]);
                        (axis ? &next_y : &next_x)[0][k] = up + (row - j) * (low - up);
                    }
                }
            }
            float part = step * (1.0f / (STEP * DOWN));
            whole ink = cubic_px(grey, picture[0], picture[1], between(px_x, next_x, all(part)),
                                 between(px_y, next_y, all(part)));
            eight y = most_of(least_of(top + r * (1.0f / DOWN), all(page[0] - 1)), all(0));
            whole upper = lesser(cut(y), page[0] - 2), at = (upper * wide + left) * 2;
            if (!nothing(at - last)) { /* two samples lie between the same rows, the next two between the next */
                above = nothing(at - last - 2 * wide) ? under : across(four_bytes(print, at), on);
                under = across(four_bytes(print, at + 2 * wide), on);
                last = at;
            }
            eight down = y - real(upper);
            whole paper = to_byte(between(above.paper, under.paper, down));
            whole likely = to_byte(between(above.likely, under.likely, down));
            eight dark = sign * real(paper - ink), shown = least_of(real(likely) / fully, all(1));
            for (int64_t k = 0; k < lanes; k++) {
                contrast[(from + k) * rows + r] = dark[k];
                seen[(from + k) * rows + r] = shown[k];
            }
        }
    }
}

/* The page net's layers on bytes; `page_layers` says which there are. Each gives the very bytes that ONNX Runtime's
   `QLinearConv` and `QLinearAdd` do. First for processors that multiply four bytes at once and add them up in 32 bits
   (AVX-512 VNNI), then for those with AVX2 alone. */

#define BYTES __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define BYTES_INSIDE static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512vnni")))

int multiplies_bytes(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

/* Of four times sixteen whole numbers about 0 the bytes about `zero`, one after the other. */
BYTES_INSIDE __m512i as_bytes(const __m512i *four, __m512i zero)
{
    __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(four[0], four[1]), zero);
    __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(four[2], four[3]), zero);
    __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); /* packed lane by lane */
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
}

/* Of `convolved`, `at_once` places beside each other. As assembly, since the compiler keeps what places share in more
   registers than there are. */
BYTES_INSIDE void places(int at_once, int wide, int apart, const uint8_t *from, int64_t taps, const int64_t *tap,
                         int64_t fours, const int8_t *kernel, const int32_t *bias, const float *scale, float zero,
                         uint8_t *to)
{
    __m512i sum[24];
#pragma GCC unroll 24
    for (int k = 0; k < at_once * wide; k++)
        sum[k] = _mm512_loadu_si512(bias + 16 * (k % wide));
    for (int64_t t = 0; t < taps; t++) {
        const uint8_t *here = from + tap[t];
        for (int64_t d = 0; d < fours; d++, here += 4, kernel += 64 * wide) {
            __m512i weights[6], seen;
#pragma GCC unroll 6
            for (int k = 0; k < wide; k++)
                weights[k] = _mm512_loadu_si512(kernel + 64 * k);
#pragma GCC unroll 24
            for (int p = 0; p < at_once; p++) {
                __asm__("vpbroadcastd %1, %0" : "=v"(seen) : "m"(*(const int32_t *)(here + p * apart)));
#pragma GCC unroll 6
                for (int k = 0; k < wide; k++)
                    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum[p * wide + k]) : "v"(seen), "v"(weights[k]));
            }
        }
    }
#pragma GCC unroll 24
    for (int k = 0; k < at_once * wide; k++)
        sum[k] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sum[k]), _mm512_loadu_ps(scale + 16 * (k % wide))));
#pragma GCC unroll 6
    for (int k = 0; k < at_once * wide; k += 4)
        _mm512_storeu_si512(to + 16 * k, as_bytes(sum + k, _mm512_set1_epi16(zero)));
}

#define PLACES(AT_ONCE, WIDE_, APART)                                                                             \
    if (wide == WIDE_ && apart == APART) {                                                                        \
        for (int64_t x = 0; x < columns; x += AT_ONCE) {                                                          \
            int64_t first = x + AT_ONCE < columns ? x : columns - AT_ONCE;                                        \
            places(AT_ONCE, WIDE_, APART, from + first * APART, taps, tap, fours, kernel, bias, scale, zero,      \
                   to + first * 16 * WIDE_);                                                                      \
        }                                                                                                         \
    }

/* Rows of a convolution, of 16 or more columns in 16 `wide` channels, which are rounded to bytes about `zero`.

   from: bytes of the first place's first tap; the next place's lie `apart` further, the next row's `from_row`. tap: [taps]
   from there to each tap's bytes, of which there are four times `fours`. kernel: [taps, fours, channels, 4]. bias, scale:
   [channels]. to: the first place; the next row begins `to_row` further. */
BYTES void convolved(int64_t rows, int64_t columns, int64_t wide, int64_t apart, const uint8_t *from, int64_t from_row,
                     int64_t taps, const int64_t *tap, int64_t fours, const int8_t *kernel, const int32_t *bias,
                     const float *scale, float zero, uint8_t *to, int64_t to_row)
{
    for (int64_t y = 0; y < rows; y++, from += from_row, to += to_row) {
        PLACES(16, 1, 6)
        PLACES(16, 1, 16)
        PLACES(16, 1, 32)
        PLACES(12, 2, 32)
        PLACES(12, 2, 64)
        PLACES(6, 4, 64)
        PLACES(6, 4, 96)
        PLACES(4, 6, 96)
        PLACES(4, 6, 128)
    }
}

#define ABREAST 16 /* channels of a convolution that are added up side by side */
#define BESIDE 4   /* and places of it: there are registers for so many */
#define RUN 4      /* fours whose products are added up in 16 bits before these are in 32 */
#define FITS 128   /* what weights of one sign may come to for that: 255 times as much fits 16 bits */

/* What the weights of a four come to by pairs and signs, as `ABREAST` channels' products are added up in 16 bits. */
typedef struct {
    int16_t of[4 * ABREAST];
} weight;

INSIDE int16_t weight_of(const int8_t *four, weight *found)
{
    int16_t heaviest = 0;
    for (int k = 0; k < 2 * ABREAST; k++) {
        int16_t one = four[2 * k], other = four[2 * k + 1];
        int16_t up = (one > 0 ? one : 0) + (other > 0 ? other : 0), down = up - one - other;
        found->of[k] = up;
        found->of[2 * ABREAST + k] = down;
        heaviest = up > heaviest ? up : heaviest;
        heaviest = down > heaviest ? down : heaviest;
    }
    return heaviest;
}

/* Weights as `convolved_in_runs` takes them: for `ABREAST` channels at a time, fours in runs whose products fit 16 bits
   whatever the bytes are, the longest runs first. From the heaviest four on, each goes to the first run that it fits.

   kernel: [count, channels, 4]. lengths: [channels / ABREAST, RUN] runs of RUN fours, of one less, and so on. order:
   [channels / ABREAST, count] fours' numbers. weights: [channels / ABREAST, count, ABREAST, 4]. fours, runs: [count],
   members: [count, RUN], to work in. */
WIDE void in_runs(int64_t count, int64_t channels, const int8_t *kernel, weight *fours, weight *runs, int64_t *members,
                  int64_t *lengths, int64_t *order, int8_t *weights)
{
    for (int64_t from = 0; from < channels; from += ABREAST, lengths += RUN) {
        int64_t heaviest[count], by_weight[count], several[count], begun = 0, known = 0;
        for (int64_t k = 0; k < count; k++)
            heaviest[k] = weight_of(kernel + (k * channels + from) * 4, fours + k);
        for (int64_t most = 2 * FITS; most >= 0; most--)
            for (int64_t k = 0; k < count; k++)
                if (heaviest[k] == most)
                    by_weight[known++] = k;
        for (int64_t k = 0; k < count; k++) {
            const weight *own = fours + by_weight[k];
            int64_t run = 0;
            for (; run < begun; run++) {
                int16_t most = several[run] < RUN ? 0 : FITS + 1;
                for (int m = 0; m < 4 * ABREAST; m++) {
                    int16_t sum = runs[run].of[m] + own->of[m];
                    most = sum > most ? sum : most;
                }
                if (most <= FITS)
                    break;
            }
            if (run == begun) {
                several[begun++] = 0;
                memset(runs + run, 0, sizeof *runs);
            }
            for (int m = 0; m < 4 * ABREAST; m++)
                runs[run].of[m] += own->of[m];
            members[run * RUN + several[run]++] = by_weight[k];
        }
        for (int length = RUN; length > 0; length--) {
            lengths[RUN - length] = 0;
            for (int64_t run = 0; run < begun; run++)
                for (int m = 0; several[run] == length && m < length; m++, order++, weights += 4 * ABREAST) {
                    lengths[RUN - length] += m == 0;
                    *order = members[run * RUN + m];
                    memcpy(weights, kernel + (*order * channels + from) * 4, 4 * ABREAST);
                }
        }
    }
}

/* Adds what a run of fours comes to, in `ABREAST` channels of `BESIDE` places. As assembly, since the compiler would add
   up by twos what it then has no registers for. */
LANED_INSIDE void run_added(int length, const uint8_t *from, const int64_t *at, int64_t apart, const int8_t *weights,
                            __m256i *sum)
{
    __m256i part[2 * BESIDE], one, other, seen, more;
#pragma GCC unroll 4
    for (int k = 0; k < length; k++) {
        one = _mm256_loadu_si256((const __m256i *)(weights + 64 * k));
        other = _mm256_loadu_si256((const __m256i *)(weights + 64 * k + 32));
#pragma GCC unroll 4
        for (int p = 0; p < BESIDE; p++) {
            __asm__("vpbroadcastd %1, %0" : "=x"(seen) : "m"(*(const int32_t *)(from + at[k] + p * apart)));
            __asm__("vpmaddubsw %2, %1, %0" : "=x"(more) : "x"(seen), "x"(one));
            __asm__("vpmaddubsw %1, %0, %0" : "+x"(seen) : "x"(other));
            if (k) {
                __asm__("vpaddw %1, %0, %0" : "+x"(part[2 * p]) : "x"(more));
                __asm__("vpaddw %1, %0, %0" : "+x"(part[2 * p + 1]) : "x"(seen));
            } else {
                part[2 * p] = more;
                part[2 * p + 1] = seen;
            }
        }
    }
#pragma GCC unroll 8
    for (int p = 0; p < 2 * BESIDE; p++)
        sum[p] = _mm256_add_epi32(sum[p], _mm256_madd_epi16(part[p], _mm256_set1_epi16(1)));
}

/* Of `convolved_in_runs`, `BESIDE` places in `ABREAST` channels. */
LANED_INSIDE void few_places(const uint8_t *from, const int64_t *at, int64_t apart, const int64_t *lengths,
                             const int8_t *weights, const int32_t *bias, const float *scale, __m256i zero, uint8_t *to,
                             int64_t to_apart)
{
    __m256i sum[2 * BESIDE];
    for (int p = 0; p < 2 * BESIDE; p++)
        sum[p] = _mm256_loadu_si256((const __m256i *)(bias + 8 * (p % 2)));
#pragma GCC unroll 4
    for (int length = RUN; length > 0; length--)
        for (int64_t k = lengths[RUN - length]; k > 0; k--, at += length, weights += 64 * length)
            run_added(length, from, at, apart, weights, sum);
    for (int p = 0; p < 2 * BESIDE; p++)
        sum[p] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum[p]), _mm256_loadu_ps(scale + 8 * (p % 2))));
    for (int p = 0; p < BESIDE; p += 2) {
        __m256i here = _mm256_adds_epi16(_mm256_packs_epi32(sum[2 * p], sum[2 * p + 1]), zero);
        __m256i next = _mm256_adds_epi16(_mm256_packs_epi32(sum[2 * p + 2], sum[2 * p + 3]), zero);
        __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* packed lane by lane */
        __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(here, next), order);
        _mm_storeu_si128((__m128i *)(to + p * to_apart), _mm256_castsi256_si128(bytes));
        _mm_storeu_si128((__m128i *)(to + (p + 1) * to_apart), _mm256_extracti128_si256(bytes, 1));
    }
}

/* What `convolved` does, with AVX2 alone: it multiplies bytes by pairs and keeps their sums in 16 bits. lengths, order,
   weights: as of `in_runs`. */
LANED void convolved_in_runs(int64_t rows, int64_t columns, int64_t wide, int64_t apart, const uint8_t *from,
                             int64_t from_row, int64_t taps, const int64_t *tap, int64_t fours, const int64_t *lengths,
                             const int64_t *order, const int8_t *weights, const int32_t *bias, const float *scale,
                             float zero, uint8_t *to, int64_t to_row)
{
    int64_t count = taps * fours, at[wide * count];
    for (int64_t k = 0; k < wide * count; k++)
        at[k] = tap[order[k] / fours] + order[k] % fours * 4;
    for (int64_t y = 0; y < rows; y++, from += from_row, to += to_row)
        for (int64_t k = 0; k < wide; k++)
            for (int64_t x = 0; x < columns; x += BESIDE) {
                int64_t first = x + BESIDE < columns ? x : columns - BESIDE;
                few_places(from + first * apart, at + k * count, apart, lengths + k * RUN, weights + k * count * 64,
                           bias + k * ABREAST, scale + k * ABREAST, _mm256_set1_epi16(zero),
                           to + (first * wide + k) * ABREAST, wide * ABREAST);
            }
}

/* Rows of the sum of two pictures' bytes by these shares and `rest`, of which each place of the other counts for `by` beside and
   below each other. */
LANED void added(int64_t rows, int64_t columns, int64_t channels, const uint8_t *one, int64_t one_row, const uint8_t *other,
                 int64_t other_row, int64_t by, float share, float other_share, float rest, uint8_t *to, int64_t to_row)
{
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++)
            for (int64_t c = 0; c < channels; c += 16) {
                const uint8_t *a = one + y * one_row + x * channels + c;
                const uint8_t *b = other + y / by * other_row + x / by * channels + c;
                __m256i sum[2];
                for (int k = 0; k < 2; k++) {
                    __m256 value = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(a + 8 * k))));
                    __m256 more = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(b + 8 * k))));
                    more = _mm256_fmadd_ps(more, _mm256_set1_ps(other_share), _mm256_set1_ps(rest));
                    sum[k] = _mm256_cvtps_epi32(_mm256_fmadd_ps(value, _mm256_set1_ps(share), more));
                }
                __m256i whole = _mm256_permute4x64_epi64(_mm256_packs_epi32(sum[0], sum[1]), 0xd8);
                whole = _mm256_permute4x64_epi64(_mm256_packus_epi16(whole, whole), 8);
                _mm_storeu_si128((__m128i *)(to + y * to_row + x * channels + c), _mm256_castsi256_si128(whole));
            }
}

#endif

/* `surface.between` of nodes [rows, cols, 2] at [n, 2] (column, row). */
WIDE void between_nodes(int64_t rows, int64_t cols, const double *nodes, int64_t n, const double *at, double *found)
{
    for (int64_t k = 0; k < n; k++, at += 2, found += 2) {
        double x = fmax(0, fmin(cols - 1, at[0])), y = fmax(0, fmin(rows - 1, at[1]));
        int64_t i = within(x, cols - 1), j = within(y, rows - 1);
        const double *top = nodes + (j * cols + i) * 2, *low = top + cols * 2;
        double a = x - i, b = y - j;
        for (int axis = 0; axis < 2; axis++)
            found[axis] = (top[axis] * (1 - a) + top[axis + 2] * a) * (1 - b) + (low[axis] * (1 - a) + low[axis + 2] * a) * b;
    }
}

#define BLOCK 8 /* rows of a matrix that are eliminated together */
#define LANES 4
/* Rows that are changed at once, and eliminated ones whose part is taken from them: there are registers for so many. */
#define AT_A_TIME 3
#define TAKEN 4

typedef double lanes __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

/* One of a term's nodes, how many it lies on from the term's first one, and what it counts there. */
typedef struct {
    int64_t node;
    double share;
} part;

/* A term's products in the rows of its nodes, from the diagonal on. */
INSIDE void counted(int64_t width, double *matrix, const part *parts, int several, double weight)
{
    for (int k = 0; k < several; k++)
        for (int m = k; m < several; m++)
            matrix[parts[k].node * width + parts[m].node - parts[k].node] += parts[k].share * parts[m].share * weight;
}

/* The matrix, whose rows are `width` long, and the right side of `surface._laid`: added to what they hold. */
void normal(int64_t cols, int64_t rows, int64_t count, int64_t width, const int64_t *first, const double *shares,
            const double *weight, const double *value, const double *down, const double *across, const double *both,
            double *matrix, double *right)
{
    for (int64_t k = 0; k < cols * rows; k++)
        matrix[k * width] += 1e-6;
    for (int64_t k = 0; k < count; k++) {
        part corners[4] = {{0, shares[k]}, {1, shares[count + k]}, {rows, shares[2 * count + k]}, {rows + 1, shares[3 * count + k]}};
        counted(width, matrix + first[k] * width, corners, 4, weight[k]);
        for (int c = 0; c < 4; c++)
            right[first[k] + corners[c].node] += corners[c].share * weight[k] * value[k];
    }
    const part in_column[] = {{0, 1}, {1, -2}, {2, 1}}, in_row[] = {{0, 1}, {rows, -2}, {2 * rows, 1}};
    const part in_both[] = {{0, 1}, {1, -1}, {rows, -1}, {rows + 1, 1}};
    for (int64_t i = 0; i < cols; i++)
        for (int64_t j = 0; j < rows; j++) {
            double *here = matrix + (i * rows + j) * width;
            if (j + 2 < rows)
                counted(width, here, in_column, 3, down[i * (rows - 2) + j]);
            if (i + 2 < cols)
                counted(width, here, in_row, 3, across[i * rows + j]);
            if (i + 1 < cols && j + 1 < rows)
                counted(width, here, in_both, 4, both[i * (rows - 1) + j]);
        }
}

/* Takes from AT_A_TIME rows of a matrix as of `solved` the part of TAKEN eliminated ones, the first of which lies `above` rows
   above. row: the first one, of which `count` values are not 0. */
INSIDE void reduced(int64_t width, double *row, int64_t above, int64_t count)
{
    double factor[AT_A_TIME][TAKEN];
    const double *part[TAKEN];
    for (int64_t c = 0; c < TAKEN; c++) {
        part[c] = row - (above - c) * (width - 1);
        for (int64_t r = 0; r < AT_A_TIME; r++)
            factor[r][c] = part[c][r];
    }
    for (int64_t k = 0; k < count; k += LANES) {
        lanes left[AT_A_TIME];
        for (int64_t r = 0; r < AT_A_TIME; r++)
            left[r] = *(lanes *)(row + r * (width - 1) + k);
        for (int64_t c = 0; c < TAKEN; c++)
            for (int64_t r = 0; r < AT_A_TIME; r++)
                left[r] -= factor[r][c] * *(const lanes *)(part[c] + k);
        for (int64_t r = 0; r < AT_A_TIME; r++)
            *(lanes *)(row + r * (width - 1) + k) = left[r];
    }
    for (int64_t r = 1; r < AT_A_TIME; r++) /* before a row's own first value the zeros of the last one */
        for (int64_t k = 0; k < r; k++)
            row[r * (width - 1) + k] = 0;
}

/* `surface._solved`, in place of `right`, [n + band]: by Cholesky's factors, in place of the matrix [n + AT_A_TIME, band + 2
   BLOCK], whose row k holds what is on the diagonal there, `band - 1` values below it in the same column, and zeros behind. n,
   band: multiples of BLOCK. Returns 0, or 1 where the matrix is not positive. */
WIDE_AND_FUSED int solved(int64_t n, int64_t band, double *matrix, double *right)
{
    int64_t width = band + 2 * BLOCK;
    for (int64_t first = 0; first < n; first += BLOCK) {
        for (int64_t c = 0; c < BLOCK; c++) {
            double *own = matrix + (first + c) * width;
            for (int64_t k = 0; k < band; k += LANES) {
                lanes left = *(lanes *)(own + k);
                for (int64_t above = c; above > 0; above--) {
                    const double *part = own - above * (width - 1);
                    left -= part[0] * *(const lanes *)(part + k);
                }
                *(lanes *)(own + k) = left;
            }
            double root = sqrt(own[0]);
            if (!(root > 0))
                return 1;
            for (int64_t k = 0; k < band; k += LANES)
                *(lanes *)(own + k) /= root;
        }
        int64_t beyond = first + BLOCK + band - 1 < n ? first + BLOCK + band - 1 : n;
        for (int64_t row = first + BLOCK; row < beyond; row += AT_A_TIME)
            for (int64_t c = 0; c < BLOCK; c += TAKEN)
                reduced(width, matrix + row * width, row - first - c, band + BLOCK - 1 + first - row);
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
