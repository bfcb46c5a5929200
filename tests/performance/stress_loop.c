/* The peer of margin.kernel: what a plain C loop needs for the same sums.
 *
 *   out[a] = cash[a] + sum_p q[p] * mark[i[p]] + sum_g min_s sum_{p of a in g} q[p] * ladder[i[p]][s]
 *
 * Rows of one account stand together, sorted by instrument, instruments by group; 32 columns,
 * 64-byte aligned, padding repeats a scenario. The sums of a group stay in registers: four vectors
 * of eight, which compilers split where the machine's are narrower.
 */
#include <pthread.h>
#include <stdint.h>

typedef double eight __attribute__((vector_size(64)));

typedef struct {
    const int64_t *start;
    const int32_t *instrument;
    const double *quantity;
    const int32_t *group;
    const double *ladder;
    const double *mark;
    const double *cash;
    double *out;
    long first, last;
} share_t;

static inline eight lower(eight a, eight b) {
    eight m;
    for (int k = 0; k < 8; k++) m[k] = a[k] < b[k] ? a[k] : b[k];
    return m;
}

static inline double least(eight a, eight b, eight c, eight d) {
    eight m = lower(lower(a, b), lower(c, d));
    double low = m[0];
    for (int k = 1; k < 8; k++) low = low < m[k] ? low : m[k];
    return low;
}

static void *work(void *given) {
    const share_t *s = given;
    for (long account = s->first; account < s->last; account++) {
        double equity = s->cash[account], loss = 0.0;
        int32_t current = -1;
        eight a = {0}, b = {0}, c = {0}, d = {0};
        for (int64_t row = s->start[account]; row < s->start[account + 1]; row++) {
            const int32_t i = s->instrument[row], group = s->group[i];
            const double q = s->quantity[row];
            if (group != current) {
                loss += least(a, b, c, d);
                a = b = c = d = (eight){0};
                current = group;
            }
            equity += q * s->mark[i];
            const eight *values = (const eight *)(s->ladder + (long)i * 32);
            a += q * values[0];
            b += q * values[1];
            c += q * values[2];
            d += q * values[3];
        }
        s->out[account] = equity + loss + least(a, b, c, d);
    }
    return 0;
}

void stress(const int64_t *start, const int32_t *instrument, const double *quantity,
            const int32_t *group, const double *ladder, const double *mark, const double *cash,
            double *out, long accounts, int threads) {
    pthread_t thread[64];
    share_t share[64];
    for (int k = 0; k < threads; k++) {
        share[k] = (share_t){start, instrument, quantity, group, ladder, mark, cash, out,
                             accounts * k / threads, accounts * (k + 1) / threads};
        if (k) pthread_create(&thread[k], 0, work, &share[k]);
    }
    work(&share[0]);
    for (int k = 1; k < threads; k++) pthread_join(thread[k], 0);
}
