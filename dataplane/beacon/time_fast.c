/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Event times: ISO 8601 to milliseconds and back, in integers. The calendar is the
 * proleptic Gregorian one; days are counted as H. Hinnant's "chrono-compatible
 * low-level date algorithms" do, with years that begin in March.
 */

#include "dataplane/beacon/event.h"

#define DAY_MS 86400000
#define DAYS_TO_1970 719468 /* from 0000-03-01 */
#define ERA_DAYS 146097     /* 400 years */
#define ERA_YEARS 400

struct reader {
	const uint8_t *at, *end;
};

static inline bool take_digits(struct reader *r, int32_t n, int32_t *out)
{
	int32_t v = 0;

	if (r->end - r->at < n)
		return false;
	for (int32_t i = 0; i < n; i++) {
		const uint32_t digit = (uint32_t)r->at[i] - '0';

		if (digit > 9)
			return false;
		v = v * 10 + (int32_t)digit;
	}
	r->at += n;
	*out = v;
	return true;
}

static inline bool take_one_of(struct reader *r, uint8_t a, uint8_t b)
{
	if (r->at == r->end || (*r->at != a && *r->at != b))
		return false;
	r->at++;
	return true;
}

static inline bool take(struct reader *r, uint8_t c)
{
	return take_one_of(r, c, c);
}

static int32_t days_in_month(int32_t year, int32_t month)
{
	static const uint8_t days[] = {
		31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
	};
	const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Days from 1970-01-01, for years from 0 on. */
static int64_t days_since_1970(int32_t year, int32_t month, int32_t day)
{
	const int32_t y = month <= 2 ? year - 1 : year;
	const int32_t era = (y >= 0 ? y : y - (ERA_YEARS - 1)) / ERA_YEARS;
	const int32_t year_of_era = y - era * ERA_YEARS;
	const int32_t month_from_march = month > 2 ? month - 3 : month + 9;
	const int32_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;

	return (int64_t)era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 -
	       year_of_era / 100 + day_of_year - DAYS_TO_1970;
}

static inline bool take_date(struct reader *r, int64_t *days)
{
	int32_t year, month, day;

	if (!take_digits(r, 4, &year) || !take(r, '-') || !take_digits(r, 2, &month) ||
	    !take(r, '-') || !take_digits(r, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	*days = days_since_1970(year, month, day);
	return true;
}

/* Milliseconds; further digits are read and cut. At least one digit. */
static inline bool take_fraction(struct reader *r, int32_t *ms)
{
	const uint8_t *first = r->at;

	for (int32_t scale = 100; r->at < r->end && *r->at >= '0' && *r->at <= '9';
	     scale /= 10, r->at++)
		*ms += (*r->at - '0') * scale;
	return r->at != first;
}

/* Seconds may be left out (java.time does where they are 0), then there is no
 * fraction either. A leap second is none: the calendar here has none. */
static inline bool take_clock(struct reader *r, int32_t *ms)
{
	int32_t hour, minute, second = 0, fraction = 0;

	if (!take_digits(r, 2, &hour) || !take(r, ':') || !take_digits(r, 2, &minute))
		return false;
	if (take(r, ':')) {
		if (!take_digits(r, 2, &second))
			return false;
		if (take_one_of(r, '.', ',') && !take_fraction(r, &fraction))
			return false;
	}
	*ms = ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
	return hour <= 23 && minute <= 59 && second <= 59;
}

/* "Z", "+01:00", "+0100", "+01" or nothing. */
static inline bool take_zone(struct reader *r, int32_t *minutes)
{
	int32_t sign, hour, minute = 0;

	*minutes = 0;
	if (r->at == r->end || take_one_of(r, 'Z', 'z'))
		return true;
	sign = *r->at == '-' ? -1 : 1;
	if (!take_one_of(r, '+', '-') || !take_digits(r, 2, &hour))
		return false;
	if (r->at < r->end) {
		(void)take(r, ':');
		if (!take_digits(r, 2, &minute))
			return false;
	}
	*minutes = sign * (hour * 60 + minute);
	return hour <= 23 && minute <= 59;
}

bool hr_time_parse(struct hr_str text, int64_t *ms)
{
	struct reader r;
	int64_t days;
	int32_t of_day, zone;

	if (text.n == 0)
		return false;
	r.at = text.p;
	r.end = text.p + text.n;
	if (!take_date(&r, &days) || (!take_one_of(&r, 'T', 't') && !take(&r, ' ')) ||
	    !take_clock(&r, &of_day) || !take_zone(&r, &zone) || r.at != r.end)
		return false;
	*ms = days * DAY_MS + of_day - (int64_t)zone * 60000;
	return true;
}

static inline void put2(char *to, uint32_t v)
{
	to[0] = (char)('0' + v / 10);
	to[1] = (char)('0' + v % 10);
}

/* "2024-01-15?10:30:00.000"; what lies outside four-digit years is brought to
 * their nearest end. */
static void put_time(int64_t ms, char separator, char *out)
{
	uint32_t days, of_day, era, of_era, year_of_era, of_year, march_month, month,
		year;

	if (ms < 0)
		ms = 0;
	if (ms > HR_TIME_MS_MAX)
		ms = HR_TIME_MS_MAX;
	days = (uint32_t)(ms / DAY_MS) + DAYS_TO_1970;
	of_day = (uint32_t)(ms % DAY_MS);
	era = days / ERA_DAYS;
	of_era = days % ERA_DAYS;
	year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	march_month = (5 * of_year + 2) / 153;
	month = march_month < 10 ? march_month + 3 : march_month - 9;
	year = era * ERA_YEARS + year_of_era + (month <= 2);

	put2(out, year / 100);
	put2(out + 2, year % 100);
	out[4] = '-';
	put2(out + 5, month);
	out[7] = '-';
	put2(out + 8, of_year - (153 * march_month + 2) / 5 + 1);
	out[10] = separator;
	put2(out + 11, of_day / 3600000);
	out[13] = ':';
	put2(out + 14, of_day / 60000 % 60);
	out[16] = ':';
	put2(out + 17, of_day / 1000 % 60);
	out[19] = '.';
	out[20] = (char)('0' + of_day % 1000 / 100);
	put2(out + 21, of_day % 100);
}

void hr_time_sql(int64_t ms, char out[HR_TIME_SQL_BYTES])
{
	put_time(ms, ' ', out);
}

void hr_time_iso(int64_t ms, char out[HR_TIME_ISO_BYTES])
{
	put_time(ms, 'T', out);
	out[HR_TIME_ISO_BYTES - 1] = 'Z';
}
