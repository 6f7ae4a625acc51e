/* Dequantizing 4-bit codes, value[code] * scale, on processors that look up sixteen bytes in one instruction.

   A block of numbers shares a scale, so only sixteen different numbers stand in it. They are computed once, just as
   blockwise.py computes them: a product in float32, rounded to the nearest, ties to even, for bfloat16. Every code then
   picks its own. The instruction picks bytes, not numbers: so the numbers are unzipped into planes, one of their first
   bytes, one of their second ..., and what the codes picked from each plane is zipped together again.

   This file knows no Python: four_bits.py calls it through ctypes; blockwise.py does without it where no compiler made it. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <smmintrin.h>
#define VECTORS __attribute__((target("sse4.1")))
typedef __m128i Bytes;
#define LOAD(from) _mm_loadu_si128((const Bytes *)(from))
#define STORE(to, bytes) _mm_storeu_si128((Bytes *)(to), bytes)
#define PICK(plane, codes) _mm_shuffle_epi8(plane, codes)
#define LOW_NIBBLES(bytes) _mm_and_si128(bytes, _mm_set1_epi8(15))
#define HIGH_NIBBLES(bytes) LOW_NIBBLES(_mm_srli_epi16(bytes, 4))
#define ZIP_FIRST(a, b) _mm_unpacklo_epi8(a, b)
#define ZIP_LAST(a, b) _mm_unpackhi_epi8(a, b)
#define EVEN(bytes) _mm_and_si128(bytes, _mm_set1_epi16(255))
#define UNZIP_EVEN(a, b) _mm_packus_epi16(EVEN(a), EVEN(b))
#define UNZIP_ODD(a, b) _mm_packus_epi16(_mm_srli_epi16(a, 8), _mm_srli_epi16(b, 8))
#elif defined(__aarch64__)
#include <arm_neon.h>
#define VECTORS
typedef uint8x16_t Bytes;
#define LOAD(from) vld1q_u8((const uint8_t *)(from))
#define STORE(to, bytes) vst1q_u8(to, bytes)
#define PICK(plane, codes) vqtbl1q_u8(plane, codes)
#define LOW_NIBBLES(bytes) vandq_u8(bytes, vdupq_n_u8(15))
#define HIGH_NIBBLES(bytes) vshrq_n_u8(bytes, 4)
#define ZIP_FIRST(a, b) vzip1q_u8(a, b)
#define ZIP_LAST(a, b) vzip2q_u8(a, b)
#define UNZIP_EVEN(a, b) vuzp1q_u8(a, b)
#define UNZIP_ODD(a, b) vuzp2q_u8(a, b)
#else
#error "no instruction is known here that looks up sixteen bytes; blockwise.py does the same in torch"
#endif

/* The sixteen numbers of a block, as bits of float32. */
VECTORS static inline void numbers_of(const float *values, float scale, uint32_t bits[16]) {
    float numbers[16];
    for (int code = 0; code < 16; code++)
        numbers[code] = values[code] * scale;
    memcpy(bits, numbers, sizeof numbers);
}

/* Round finite numbers to the bfloat16 that their upper two bytes are. */
VECTORS static inline void round_to_bfloat16(uint32_t bits[16]) {
    for (int code = 0; code < 16; code++)
        bits[code] += 0x7FFF + ((bits[code] >> 16) & 1);
}

/* The first, second, third and fourth bytes of sixteen numbers. */
VECTORS static inline void unzip(const uint32_t bits[16], Bytes planes[4]) {
    Bytes a = LOAD(bits), b = LOAD(bits + 4), c = LOAD(bits + 8), d = LOAD(bits + 12);
    Bytes even = UNZIP_EVEN(a, b), odd = UNZIP_ODD(a, b), even_too = UNZIP_EVEN(c, d), odd_too = UNZIP_ODD(c, d);
    planes[0] = UNZIP_EVEN(even, even_too), planes[2] = UNZIP_ODD(even, even_too);
    planes[1] = UNZIP_EVEN(odd, odd_too), planes[3] = UNZIP_ODD(odd, odd_too);
}

/* 32 codes, two in each of 16 bytes, the first in the high nibble. */
VECTORS static inline void unpack(const uint8_t *packed, Bytes codes[2]) {
    Bytes pairs = LOAD(packed), high = HIGH_NIBBLES(pairs), low = LOW_NIBBLES(pairs);
    codes[0] = ZIP_FIRST(high, low);
    codes[1] = ZIP_LAST(high, low);
}

/* `blocks` blocks of `size` numbers, a multiple of 32. packed: (blocks * size / 2); scales: (blocks); values: (16);
   out: (blocks * size) bfloat16. */
VECTORS void dequantize_to_bfloat16(const uint8_t *packed, const float *scales, const float *values, int64_t blocks,
                                    int64_t size, uint8_t *out, int64_t threads) {
#pragma omp parallel for schedule(static) num_threads((int)threads)
    for (int64_t block = 0; block < blocks; block++) {
        uint32_t bits[16];
        Bytes planes[4], codes[2];
        const uint8_t *from = packed + block * size / 2;
        uint8_t *to = out + block * size * 2;
        numbers_of(values, scales[block], bits);
        if (isfinite(scales[block])) /* otherwise the upper bytes are infinity and NaN already */
            round_to_bfloat16(bits);
        unzip(bits, planes);
        for (int64_t done = 0; done < size; done += 32, from += 16) {
            unpack(from, codes);
            for (int half = 0; half < 2; half++, to += 32) {
                Bytes third = PICK(planes[2], codes[half]), fourth = PICK(planes[3], codes[half]);
                STORE(to, ZIP_FIRST(third, fourth));
                STORE(to + 16, ZIP_LAST(third, fourth));
            }
        }
    }
}

/* The same, out: (blocks * size) float32: what was unzipped twice is zipped twice. */
VECTORS void dequantize_to_float32(const uint8_t *packed, const float *scales, const float *values, int64_t blocks,
                                   int64_t size, uint8_t *out, int64_t threads) {
#pragma omp parallel for schedule(static) num_threads((int)threads)
    for (int64_t block = 0; block < blocks; block++) {
        uint32_t bits[16];
        Bytes planes[4], codes[2];
        const uint8_t *from = packed + block * size / 2;
        uint8_t *to = out + block * size * 4;
        numbers_of(values, scales[block], bits);
        unzip(bits, planes);
        for (int64_t done = 0; done < size; done += 32, from += 16) {
            unpack(from, codes);
            for (int half = 0; half < 2; half++, to += 64) {
                Bytes first = PICK(planes[0], codes[half]), second = PICK(planes[1], codes[half]);
                Bytes third = PICK(planes[2], codes[half]), fourth = PICK(planes[3], codes[half]);
                Bytes even = ZIP_FIRST(first, third), odd = ZIP_FIRST(second, fourth);
                STORE(to, ZIP_FIRST(even, odd));
                STORE(to + 16, ZIP_LAST(even, odd));
                even = ZIP_LAST(first, third), odd = ZIP_LAST(second, fourth);
                STORE(to + 32, ZIP_FIRST(even, odd));
                STORE(to + 48, ZIP_LAST(even, odd));
            }
        }
    }
}

/* Double quantization: `count` block scales of one byte each, in blocks of `size` that share a scale of their own.
   codes: (count); values: (256); scales: (ceil(count / size)); offset: (1); out: (count) float32. */
void dequantize_scales(const uint8_t *codes, const float *scales, const float *values, int64_t count, int64_t size,
                       const float *offset, float *out) {
    for (int64_t start = 0; start < count; start += size) {
        const int64_t stop = start + size < count ? start + size : count;
        const float scale = scales[start / size];
        for (int64_t index = start; index < stop; index++)
            out[index] = values[codes[index]] * scale + *offset;
    }
}
