/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_BENCH_H
#define HR_TEST_BENCH_H

/*
 * What the view costs beside a plain producer of librdkafka that writes records of
 * the same size with the same settings, without transactions and positions. Prints
 * records per second and CPU seconds of this process per million records.
 */
void bench(void);

#endif
