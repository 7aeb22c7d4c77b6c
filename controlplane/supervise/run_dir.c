/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/control.h"
#include "controlplane/supervise/child.h"
#include "controlplane/supervise/run_dir.h"
#include "dataplane/stats/stats.h"

struct hr_run_dir {
	char dir[HR_RUN_DIR_PATH_MAX], pid_path[HR_RUN_DIR_PATH_MAX];
	int lock;
	bool is_made_here;
};

void hr_run_dir_path(char out[HR_RUN_DIR_PATH_MAX], const char *dir, const char *name)
{
	(void)snprintf(out, HR_RUN_DIR_PATH_MAX, "%s/%s", dir, name);
}

static int make_dir(struct hr_run_dir *run, struct hr_err *err)
{
	struct stat st;

	if (mkdir(run->dir, 0755) == 0) {
		run->is_made_here = true;
		return 0;
	}
	if (errno != EEXIST)
		return hr_fail(err, -errno,
			       "cannot make the folder %s: %s; make it, or choose "
			       "another appliance.run_dir",
			       run->dir, strerror(errno));
	if (stat(run->dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return hr_fail(err, -ENOTDIR,
			       "appliance.run_dir: found %s to be no folder, expected "
			       "one; choose another",
			       run->dir);
	return 0;
}

static int refuse_second(int fd, const char *dir, struct hr_err *err)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return hr_fail(err, -EWOULDBLOCK,
		       "headraced is running in %s already, as process %d; stop it "
		       "(headracectl stop), or choose another appliance.run_dir",
		       dir, atoi(text));
}

/* Is the file we locked still the one of that name? Its holder may have removed it
 * between our open and our lock. */
static bool is_current(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
	       ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

static int lock_pid_file(struct hr_run_dir *run, struct hr_err *err)
{
	for (;;) {
		int fd = open(run->pid_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644), rc;

		if (fd < 0)
			return hr_fail(err, -errno, "cannot make %s: %s", run->pid_path,
				       strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			rc = errno == EWOULDBLOCK
				     ? refuse_second(fd, run->dir, err)
				     : hr_fail(err, -errno, "cannot lock %s: %s",
					       run->pid_path, strerror(errno));
			close(fd);
			return rc;
		}
		run->lock = fd;
		if (is_current(fd, run->pid_path))
			return 0;
		close(fd);
		run->lock = -1;
	}
}

static int write_pid(const struct hr_run_dir *run, struct hr_err *err)
{
	if (ftruncate(run->lock, 0) < 0 || dprintf(run->lock, "%d\n", getpid()) < 0)
		return hr_fail(err, -EIO, "cannot write %s: %s", run->pid_path,
			       strerror(errno));
	return 0;
}

int hr_run_dir_open(struct hr_run_dir **out, const char *dir, struct hr_err *err)
{
	struct hr_run_dir *run = calloc(1, sizeof(*run));
	int rc;

	if (run == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the run folder");
	run->lock = -1;
	(void)snprintf(run->dir, sizeof(run->dir), "%s", dir);
	hr_run_dir_path(run->pid_path, dir, HR_RUN_DIR_HEADRACED_PID);
	rc = make_dir(run, err);
	if (rc == 0)
		rc = lock_pid_file(run, err);
	if (rc == 0)
		rc = write_pid(run, err);
	if (rc < 0) {
		hr_run_dir_close(run);
		return rc;
	}
	*out = run;
	return 0;
}

void hr_run_dir_close(struct hr_run_dir *run)
{
	if (run == NULL)
		return;
	if (run->lock >= 0) {
		unlink(run->pid_path); /* first: the lock covers the name */
		close(run->lock);
		if (run->is_made_here)
			rmdir(run->dir);
	}
	free(run);
}

static void sweep_stats(const char *dir)
{
	char path[HR_RUN_DIR_PATH_MAX], pattern[HR_RUN_DIR_PATH_MAX + 16];
	struct hr_stats_reader *reader;
	glob_t making;

	hr_run_dir_path(path, dir, HR_CONTROL_STATS);
	if (hr_stats_open(&reader, path, NULL) == 0)
		hr_stats_close(reader);
	else
		unlink(path);
	/* Segments that were never published: stats.<pid of the maker>. */
	(void)snprintf(pattern, sizeof(pattern), "%s.[0-9]*", path);
	if (glob(pattern, GLOB_NOSORT, NULL, &making) != 0)
		return;
	for (size_t i = 0; i < making.gl_pathc; i++) {
		const char *file = making.gl_pathv[i];

		if (access(file, F_OK) == 0 &&
		    !hr_child_pid_lives(atoi(file + strlen(path) + 1)))
			unlink(file);
	}
	globfree(&making);
}

void hr_run_dir_sweep(const char *dir)
{
	char path[HR_RUN_DIR_PATH_MAX];

	hr_run_dir_path(path, dir, HR_RUN_DIR_DATAPLANE_PID);
	if (!hr_child_file_lives(path))
		unlink(path);
	hr_run_dir_path(path, dir, HR_CONTROL_DATAPLANE);
	if (hr_control_server_pid(path) == -ECONNREFUSED)
		unlink(path);
	sweep_stats(dir);
}
