/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_POISON_HANDLER_H
#define HR_POISON_HANDLER_H

/* handler - writes down what the thread died of. Main thread; poison.c's. */

/* Into the slots of this list (deaths.h), which is open for writing. */
void hr_poison_handler_take(int fd);
void hr_poison_handler_give_back(void);

#endif
