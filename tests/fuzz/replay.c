/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Runs one fuzz target over files: every file of the folders named, and the files
 * named. A folder without files is an error, or the test would prove nothing.
 */

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define FILE_MAX (1u << 20)

static unsigned int n_files;

static int run_file(const char *path)
{
	static uint8_t room[FILE_MAX];
	FILE *f = fopen(path, "rb");
	uint8_t *exact;
	size_t n;

	if (f == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	n = fread(room, 1, sizeof(room), f);
	fclose(f);
	/* Said before it runs: the last line names the file that ended the process. */
	printf("%s: %zu bytes\n", path, n);
	fflush(stdout);
	exact = exact_copy(room, n);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	n_files++;
	return 0;
}

static int run_folder(const char *path)
{
	const unsigned int before = n_files;
	DIR *folder = opendir(path);
	struct dirent *entry;
	int failed = 0;

	if (folder == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	while ((entry = readdir(folder)) != NULL) {
		char file[4096];

		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) >=
		    (int)sizeof(file))
			failed = 1;
		else
			failed |= run_file(file);
	}
	closedir(folder);
	if (n_files == before) {
		fprintf(stderr, "%s: no files\n", path);
		return 1;
	}
	return failed;
}

int main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++) {
		struct stat s;

		if (stat(argv[i], &s) == 0 && S_ISDIR(s.st_mode))
			failed |= run_folder(argv[i]);
		else
			failed |= run_file(argv[i]);
	}
	printf("%u files\n", n_files);
	return failed;
}
