/* SPDX-License-Identifier: BSD-3-Clause */

/* The key file: write keys, one a line; and the cluster secret. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/config.h"

/* what: "key", "secret" */
static int check_mode(FILE *f, const char *path, const char *what, struct hr_err *err)
{
	struct stat st;

	if (fstat(fileno(f), &st) < 0)
		return hr_fail(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return hr_fail(err, -EINVAL,
			       "%s: found no ordinary file, expected the "
			       "%s file",
			       path, what);
	if ((st.st_mode & (S_IROTH | S_IWOTH)) != 0)
		return hr_fail(err, -EACCES,
			       "%s: found mode %04o, expected a %s file that others "
			       "cannot read; chmod 600 %s",
			       path, st.st_mode & 07777u, what, path);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Keys never appear in a message. Returns 1 for a key, 0 for none. */
static int parse_line(const char *p, struct hr_write_key *out, const char *path,
		      unsigned int line, struct hr_err *err)
{
	uint64_t id = 0;
	const char *digits;

	p += strspn(p, " \t");
	if (*p == '#' || *p == '\n' || *p == '\r' || *p == '\0')
		return 0;
	digits = p;
	while (*p >= '0' && *p <= '9' && p - digits < 11)
		id = id * 10 + (uint64_t)(*p++ - '0');
	if (p == digits || id > UINT32_MAX || (*p != ' ' && *p != '\t'))
		return hr_fail(err, -EINVAL,
			       "%s:%u: found no key id at the beginning, expected a "
			       "number from 0 to 4294967295, a space and 32 hex digits",
			       path, line);
	p += strspn(p, " \t");
	for (unsigned int i = 0; i < 32; i++, p++) {
		int digit = hex_digit(*p);

		if (digit < 0)
			return hr_fail(
				err, -EINVAL,
				"%s:%u: found %u hex digits, expected 32 (openssl "
				"rand -hex 16 makes some)",
				path, line, i);
		out->key[i / 2] = (uint8_t)(out->key[i / 2] << 4 | digit);
	}
	if (strchr(" \t\r\n", *p) == NULL)
		return hr_fail(err, -EINVAL,
			       "%s:%u: found more than 32 hex digits, expected 32",
			       path, line);
	out->id = (uint32_t)id;
	return 1;
}

static int add_key(struct hr_write_key *keys, uint32_t n, uint32_t max,
		   const char *path, unsigned int line, struct hr_err *err)
{
	if (n == max)
		return hr_fail(err, -E2BIG,
			       "%s:%u: found more than %u keys, expected at most that "
			       "many",
			       path, line, max);
	for (uint32_t i = 0; i < n; i++)
		if (keys[i].id == keys[n].id)
			return hr_fail(err, -EEXIST,
				       "%s:%u: found key id %u a second time, expected "
				       "each id once",
				       path, line, keys[n].id);
	return 0;
}

static int read_lines(FILE *f, struct hr_write_key *out, uint32_t max, const char *path,
		      struct hr_err *err)
{
	struct hr_write_key key;
	char text[512];
	uint32_t n = 0;
	int rc;

	for (unsigned int line = 1; fgets(text, sizeof(text), f) != NULL; line++) {
		if (strchr(text, '\n') == NULL && !feof(f))
			return hr_fail(err, -EINVAL,
				       "%s:%u: found a line of more than %zu bytes, "
				       "expected <id> <32 hex digits> [comment]",
				       path, line, sizeof(text) - 2);
		memset(&key, 0, sizeof(key));
		rc = parse_line(text, &key, path, line, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			continue;
		if (n < max)
			out[n] = key;
		rc = add_key(out, n, max, path, line, err);
		if (rc < 0)
			return rc;
		n++;
	}
	if (ferror(f))
		return hr_fail(err, -EIO, "%s: cannot be read: %s", path,
			       strerror(errno));
	if (n == 0)
		return hr_fail(
			err, -ENODATA,
			"%s: found no key, expected lines of <id> <32 hex digits> "
			"[comment]",
			path);
	return (int)n;
}

int hr_keys_read(struct hr_write_key *out, uint32_t max, const char *path,
		 struct hr_err *err)
{
	FILE *f = fopen(path, "re");
	int rc;

	if (f == NULL)
		return hr_fail(err, -errno,
			       "%s: the key file (listen.keys_file) cannot be read: %s",
			       path, strerror(errno));
	rc = check_mode(f, path, "key", err);
	if (rc == 0)
		rc = read_lines(f, out, max, path, err);
	fclose(f);
	return rc;
}

/* The secret never appears in a message. */
static int parse_secret(const char *text, uint8_t out[HR_SECRET_FILE_BYTES],
			const char *path, struct hr_err *err)
{
	const unsigned int n = (unsigned int)strcspn(text, " \t\r\n");

	for (unsigned int i = 0; i < n && n == 2 * HR_SECRET_FILE_BYTES; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0)
			return hr_fail(err, -EINVAL,
				       "%s: found something else than hex digits, "
				       "expected 32 of them (openssl rand -hex 16 "
				       "makes some)",
				       path);
		out[i / 2] = (uint8_t)(out[i / 2] << 4 | digit);
	}
	if (n == 2 * HR_SECRET_FILE_BYTES && text[n + strspn(text + n, " \t\r\n")] == 0)
		return 0;
	return hr_fail(
		err, -EINVAL,
		"%s: found a word of %u characters%s, expected 32 hex digits and "
		"nothing else (openssl rand -hex 16 makes some)",
		path, n, text[n] != 0 ? " and more" : "");
}

int hr_secret_read(uint8_t out[HR_SECRET_FILE_BYTES], const char *path,
		   struct hr_err *err)
{
	FILE *f = fopen(path, "re");
	char text[128];
	size_t n;
	int rc;

	if (f == NULL)
		return hr_fail(err, -errno,
			       "%s: the cluster secret (listen.cluster_secret_file) "
			       "cannot be read: %s",
			       path, strerror(errno));
	rc = check_mode(f, path, "secret", err);
	n = rc == 0 ? fread(text, 1, sizeof(text) - 1, f) : 0;
	text[n] = '\0';
	if (rc == 0)
		rc = parse_secret(text, out, path, err);
	explicit_bzero(text, sizeof(text));
	fclose(f);
	return rc;
}
