/* The small work of an adapter on few tokens in bfloat16: products with a side of `rank`, a row norm, a stretch.

   Each is over in microseconds, most of which torch spends on setting it up: on 64 tokens a step of DoRA has some thirty
   such operations a layer, and they take about as long as the frozen products beside them. Here each piece of the formulas
   is one loop over the activations, which are widened to float32 as they are read and rounded once as they are written.

   A matrix with one side of `rank` is called thin. It lies in memory as (rank, columns), as A does, or as (columns,
   rank), as B does; `Thin` says which. All others are row by row: activations (tokens, columns) in bfloat16, and what
   lies between the two factors of an update, (rank, tokens) in float32.

   This file knows no Python: few_tokens.py calls it through ctypes, and lora.py and dora.py do the same with torch's
   operations where no compiler made it. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if !defined(__x86_64__) || !defined(__linux__) || !defined(__GNUC__) || defined(__clang__)
#error "nobody measured these loops here; torch's operations do the same"
#elif __GNUC__ >= 12
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else /* knows no such levels */
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx2", "default")))
#endif

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8, TILE = 512, MOST_RANK = 16 }; /* a thin tile of 32 kB: what a processor's nearest memory holds */

typedef float Lanes __attribute__((vector_size(4 * LANES)));
typedef struct {
    float *at;
    int64_t rank, columns, by_rank, by_column; /* element (k, c) is at[k * by_rank + c * by_column] */
} Thin;
typedef struct {
    Lanes lanes[TILE / LANES];
} Tile; /* TILE columns of one row */

INLINE Thin like_A(const float *at, int64_t rank, int64_t columns) {
    return (Thin){(float *)at, rank, columns, columns, 1};
}

INLINE Thin like_B(const float *at, int64_t rank, int64_t columns) {
    return (Thin){(float *)at, rank, columns, 1, rank};
}

INLINE float widened(uint16_t upper) {
    uint32_t bits = (uint32_t)upper << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* To the nearest, ties to even; a NaN stays one. */
INLINE uint16_t rounded(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint32_t nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    return (bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : (uint16_t)nearest;
}

/* `count` columns, and zeros up to the next whole vector. */
INLINE void read_row(const uint16_t *from, int64_t count, Tile *to) {
    float *columns = (float *)to->lanes;
    for (int64_t c = 0; c < count; c++)
        columns[c] = widened(from[c]);
    for (int64_t c = count; c % LANES; c++)
        columns[c] = 0;
}

INLINE void write_row(const Tile *from, int64_t count, uint16_t *to) {
    const float *columns = (const float *)from->lanes;
    for (int64_t c = 0; c < count; c++)
        to[c] = rounded(columns[c]);
}

/* The same for a thin matrix, whose ranks are filled up with rows of zeros to a multiple of four. */
INLINE void read_thin(Thin thin, int64_t start, int64_t count, Tile to[MOST_RANK]) {
    memset(to, 0, sizeof(Tile) * (size_t)((thin.rank + 3) / 4 * 4));
    for (int64_t k = 0; k < thin.rank; k++) {
        const float *from = thin.at + k * thin.by_rank + start * thin.by_column;
        float *columns = (float *)to[k].lanes;
        for (int64_t c = 0; c < count; c++)
            columns[c] = from[c * thin.by_column];
    }
}

INLINE void write_thin(const Tile from[MOST_RANK], int64_t start, int64_t count, Thin thin) {
    for (int64_t k = 0; k < thin.rank; k++) {
        float *to = thin.at + k * thin.by_rank + start * thin.by_column;
        const float *columns = (const float *)from[k].lanes;
        for (int64_t c = 0; c < count; c++)
            to[c * thin.by_column] = columns[c];
    }
}

INLINE int64_t columns_left(int64_t columns, int64_t start) {
    return columns - start < TILE ? columns - start : TILE;
}

INLINE int64_t vectors(int64_t count) { return (count + LANES - 1) / LANES; }

INLINE float sum_of(Lanes lanes) {
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

/* Four at a time, so that a processor has several sums under way: `to` += weights · rows. */
INLINE void add_four(const float weights[4], const Tile rows[4], int64_t count, Tile *to) {
    for (int64_t v = 0; v < vectors(count); v++)
        to->lanes[v] += weights[0] * rows[0].lanes[v] + weights[1] * rows[1].lanes[v] + weights[2] * rows[2].lanes[v] +
                        weights[3] * rows[3].lanes[v];
}

/* inner = scale * thin xᵀ, (rank, tokens): down to the rank. */
INLINE void down(Thin thin, const uint16_t *x, int64_t tokens, float scale, float *inner) {
    Tile tile[MOST_RANK], rows[2];
    memset(inner, 0, sizeof(float) * (size_t)(thin.rank * tokens));
    for (int64_t start = 0; start < thin.columns; start += TILE) {
        const int64_t count = columns_left(thin.columns, start);
        read_thin(thin, start, count, tile);
        for (int64_t t = 0; t < tokens; t += 2) {
            const int64_t both = t + 1 < tokens;
            read_row(x + t * thin.columns + start, count, &rows[0]);
            read_row(x + (t + both) * thin.columns + start, count, &rows[1]);
            for (int64_t k = 0; k < thin.rank; k += 4) {
                Lanes sums[4][2] = {0};
                for (int64_t v = 0; v < vectors(count); v++)
                    for (int i = 0; i < 4; i++) {
                        sums[i][0] += tile[k + i].lanes[v] * rows[0].lanes[v];
                        sums[i][1] += tile[k + i].lanes[v] * rows[1].lanes[v];
                    }
                for (int i = 0; i < 4 && k + i < thin.rank; i++)
                    for (int64_t row = 0; row <= both; row++)
                        inner[(k + i) * tokens + t + row] += scale * sum_of(sums[i][row]);
            }
        }
    }
}

/* y += innerᵀ thin, (tokens, columns): up from the rank. */
INLINE void up(Thin thin, const float *inner, int64_t tokens, uint16_t *y) {
    Tile tile[MOST_RANK], row;
    for (int64_t start = 0; start < thin.columns; start += TILE) {
        const int64_t count = columns_left(thin.columns, start);
        read_thin(thin, start, count, tile);
        for (int64_t t = 0; t < tokens; t++) {
            uint16_t *at = y + t * thin.columns + start;
            read_row(at, count, &row);
            for (int64_t k = 0; k < thin.rank; k += 4) {
                float weights[4];
                for (int64_t i = 0; i < 4; i++)
                    weights[i] = k + i < thin.rank ? inner[(k + i) * tokens + t] : 0;
                add_four(weights, &tile[k], count, &row);
            }
            write_row(&row, count, at);
        }
    }
}

/* thin = inner x, (rank, columns): summed over the tokens, as the gradient of a factor is. */
INLINE void over_tokens(const float *inner, const uint16_t *x, int64_t tokens, Thin thin) {
    Tile tile[MOST_RANK], rows[4];
    for (int64_t start = 0; start < thin.columns; start += TILE) {
        const int64_t count = columns_left(thin.columns, start);
        memset(tile, 0, sizeof(Tile) * (size_t)thin.rank);
        for (int64_t t = 0; t < tokens; t += 4) {
            for (int64_t i = 0; i < 4; i++)
                if (t + i < tokens)
                    read_row(x + (t + i) * thin.columns + start, count, &rows[i]);
                else
                    memset(&rows[i], 0, sizeof rows[i]);
            for (int64_t k = 0; k < thin.rank; k++) {
                float weights[4];
                for (int64_t i = 0; i < 4; i++)
                    weights[i] = t + i < tokens ? inner[k * tokens + t + i] : 0;
                add_four(weights, rows, count, &tile[k]);
            }
        }
        write_thin(tile, start, count, thin);
    }
}

/* Ax = s · A xᵀ, and y += Axᵀ Bᵀ. x: (tokens, in); y: (tokens, out); A: (rank, in); B: (out, rank); Ax: (rank, tokens). */
FOR_EVERY_PROCESSOR void low_rank_forward(const uint16_t *x, uint16_t *y, const float *A, const float *B, float *Ax,
                                          int64_t tokens, int64_t in, int64_t out, int64_t rank, float scale) {
    down(like_A(A, rank, in), x, tokens, scale, Ax);
    up(like_B(B, rank, out), Ax, tokens, y);
}

/* inner = s · Bᵀ gradᵀ, grad_A = inner x, and grad_B = (Ax grad)ᵀ. */
FOR_EVERY_PROCESSOR void low_rank_backward(const uint16_t *grad, const uint16_t *x, const float *Ax, const float *B,
                                           float *grad_A, float *grad_B, float *inner, int64_t tokens, int64_t in,
                                           int64_t out, int64_t rank, float scale) {
    down(like_B(B, rank, out), grad, tokens, scale, inner);
    over_tokens(inner, x, tokens, like_A(grad_A, rank, in));
    over_tokens(Ax, grad, tokens, like_B(grad_B, rank, out));
}

/* grad_x += innerᵀ A, (tokens, in). */
FOR_EVERY_PROCESSOR void add_low_rank(uint16_t *grad_x, const float *inner, const float *A, int64_t tokens, int64_t in,
                                      int64_t rank) {
    up(like_A(A, rank, in), inner, tokens, grad_x);
}

/* n² = ‖W‖² + 2s · rowsum((W Aᵀ) ∘ B) + s² · rowsum((B (A Aᵀ)) ∘ B) by output row, no less than `smallest`, and n.
   WA: (rank, out), the transpose of W Aᵀ; AA: (rank, rank); squares, norm: (out). Returns how many rows have lost more
   of ‖W‖² than `cancelled` leaves of it. */
FOR_EVERY_PROCESSOR int64_t row_norm(const uint16_t *WA, const float *AA, const float *B, const float *squares,
                                     float *norm, int64_t out, int64_t rank, float scale, float cancelled,
                                     float smallest) {
    Tile tile[MOST_RANK], row, squared;
    int64_t lost = 0;
    for (int64_t start = 0; start < out; start += TILE) {
        const int64_t count = columns_left(out, start);
        read_thin(like_B(B, rank, out), start, count, tile);
        memset(&squared, 0, sizeof squared);
        for (int64_t k = 0; k < rank; k++) {
            read_row(WA + k * out + start, count, &row);
            for (int64_t v = 0; v < vectors(count); v++) {
                Lanes cross = 2 * scale * row.lanes[v];
                for (int64_t j = 0; j < rank; j++)
                    cross += scale * scale * AA[k * rank + j] * tile[j].lanes[v];
                squared.lanes[v] += cross * tile[k].lanes[v];
            }
        }
        const float *change = (const float *)squared.lanes;
        for (int64_t c = 0; c < count; c++) {
            const float before = squares[start + c], after = before + change[c];
            lost += after < cancelled * before;
            norm[start + c] = sqrtf(after < smallest ? smallest : after);
        }
    }
    return lost;
}

/* y = z + stretch ∘ z, where stretch = m/n − 1. z, y: (tokens, out); magnitude, norm, stretch: (out). */
FOR_EVERY_PROCESSOR void stretch_forward(const uint16_t *z, const float *magnitude, const float *norm, uint16_t *y,
                                         float *stretch, int64_t tokens, int64_t out) {
    for (int64_t o = 0; o < out; o++)
        stretch[o] = magnitude[o] / norm[o] - 1;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t o = 0; o < out; o++) {
            const float number = widened(z[t * out + o]);
            y[t * out + o] = rounded(number + stretch[o] * number);
        }
}

/* stretched = grad + stretch ∘ grad, and grad_magnitude = rowsum(gradᵀ ∘ zᵀ) / n. */
FOR_EVERY_PROCESSOR void stretch_backward(const uint16_t *grad, const uint16_t *z, const float *stretch,
                                          const float *norm, uint16_t *stretched, float *grad_magnitude, int64_t tokens,
                                          int64_t out) {
    memset(grad_magnitude, 0, sizeof(float) * (size_t)out);
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t o = 0; o < out; o++) {
            const float number = widened(grad[t * out + o]);
            grad_magnitude[o] += number * widened(z[t * out + o]);
            stretched[t * out + o] = rounded(number + stretch[o] * number);
        }
    for (int64_t o = 0; o < out; o++)
        grad_magnitude[o] /= norm[o];
}
