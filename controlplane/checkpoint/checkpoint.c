/* SPDX-License-Identifier: BSD-3-Clause */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/checkpoint_pins.h"
#include "common/config.h"
#include "common/control.h"
#include "common/log.h"
#include "controlplane/checkpoint/checkpoint.h"
#include "controlplane/checkpoint/servers.h"
#include "dataplane/log/record.h"
#include "dataplane/view/view.h"

#define PART ".part"
#define NAME_BYTES 16 /* 20261130T101500Z */
#define COPY_BYTES (1u << 20)
#define SCAN_COUNT "1000"
#define ASK_MS 3000u

/* ---- files -------------------------------------------------------------------------- */

static int fail_at(struct hr_err *err, const char *path)
{
	const int code = errno;

	return hr_fail(err, -code, "%s: %s", path, strerror(code));
}

static int sync_path(const char *path, int flags, struct hr_err *err)
{
	int fd = open(path, flags | O_CLOEXEC), r = 0;

	if (fd < 0 || fsync(fd) < 0)
		r = fail_at(err, path);
	if (fd >= 0)
		close(fd);
	return r;
}

static int copy_all(int from, int to)
{
	char *bytes = malloc(COPY_BYTES);
	ssize_t n = -1;

	errno = ENOMEM;
	while (bytes != NULL && (n = read(from, bytes, COPY_BYTES)) > 0)
		for (ssize_t at = 0, m; at < n; at += m)
			if ((m = write(to, bytes + at, (size_t)(n - at))) < 0) {
				free(bytes);
				return -1;
			}
	free(bytes);
	return n < 0 || fsync(to) < 0 ? -1 : 0;
}

static int copy_file(const char *from, const char *to, struct hr_err *err)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out, r = 0;

	if (in < 0)
		return fail_at(err, from);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (out < 0 || copy_all(in, out) < 0)
		r = fail_at(err, to);
	close(in);
	if (out >= 0)
		close(out);
	return r;
}

/* A path that is too long becomes an empty one, which nobody can open. */
static void path_of(char out[HR_CHECKPOINT_PATH], const char *folder, const char *a,
		    const char *b)
{
	int n = snprintf(out, HR_CHECKPOINT_PATH, "%s/%s%s%s", folder, a,
			 b[0] != '\0' ? "/" : "", b);

	if (n < 0 || n >= HR_CHECKPOINT_PATH)
		out[0] = '\0';
}

/* A checkpoint's folder, or what is left of one: it holds three files at most. */
static void remove_one(const char *folder, const char *name)
{
	char path[HR_CHECKPOINT_PATH];

	/* First that what makes it one. */
	path_of(path, folder, name, "manifest");
	(void)unlink(path);
	path_of(path, folder, name, "wanted");
	(void)unlink(path);
	path_of(path, folder, name, "dump.rdb");
	(void)unlink(path);
	path_of(path, folder, name, "");
	(void)rmdir(path);
}

static int lock_folder(int *lock, const struct hr_config *config, struct hr_err *err)
{
	char path[HR_CHECKPOINT_PATH];

	if (config->checkpoint_folder[0] == '\0')
		return hr_fail(err, -EINVAL,
			       "checkpoint.folder is empty: write down where "
			       "checkpoints of Redis are to lie");
	if (mkdir(config->checkpoint_folder, 0750) < 0 && errno != EEXIST)
		return fail_at(err, config->checkpoint_folder);
	path_of(path, config->checkpoint_folder, "lock", "");
	*lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (*lock < 0)
		return fail_at(err, path);
	if (flock(*lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	close(*lock);
	return hr_fail(err, -EBUSY, "another checkpoint is being made in %s",
		       config->checkpoint_folder);
}

/* ---- which there are ------------------------------------------------------------------ */

static bool is_name(const char *name)
{
	static const char form[] = "dddddddd\0dddddd";

	if (strlen(name) != NAME_BYTES || name[8] != 'T' || name[15] != 'Z')
		return false;
	for (size_t i = 0; i < 15; i++)
		if (form[i] == 'd' && (name[i] < '0' || name[i] > '9'))
			return false;
	return true;
}

static int choose(const struct dirent *e)
{
	return is_name(e->d_name);
}

static int choose_left(const struct dirent *e)
{
	char name[NAME_BYTES + 1];

	if (strlen(e->d_name) != NAME_BYTES + strlen(PART) ||
	    strcmp(e->d_name + NAME_BYTES, PART) != 0)
		return 0;
	memcpy(name, e->d_name, NAME_BYTES);
	name[NAME_BYTES] = '\0';
	return is_name(name);
}

/* What something ended in the middle of. */
static void remove_left(const struct hr_config *config)
{
	struct dirent **found;
	int n = scandir(config->checkpoint_folder, &found, choose_left, alphasort);

	for (int i = 0; i < n; i++) {
		remove_one(config->checkpoint_folder, found[i]->d_name);
		free(found[i]);
	}
	if (n >= 0)
		free(found);
}

/* All but the newest `keep`. */
static void tidy(const struct hr_config *config)
{
	struct dirent **found;
	int n = scandir(config->checkpoint_folder, &found, choose, alphasort);

	for (int i = 0; i < n; i++) {
		if ((uint32_t)(n - i) > config->checkpoint_keep)
			remove_one(config->checkpoint_folder, found[i]->d_name);
		free(found[i]);
	}
	if (n >= 0)
		free(found);
}

time_t hr_checkpoint_newest(const struct hr_config *config)
{
	struct dirent **found;
	int n = scandir(config->checkpoint_folder, &found, choose, alphasort);
	struct tm tm = { 0 };
	time_t at = 0;

	if (n < 0)
		return 0;
	if (n > 0 &&
	    sscanf(found[n - 1]->d_name, "%4d%2d%2dT%2d%2d%2dZ", &tm.tm_year,
		   &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6) {
		tm.tm_year -= 1900;
		tm.tm_mon -= 1;
		at = timegm(&tm);
	}
	for (int i = 0; i < n; i++)
		free(found[i]);
	free(found);
	return at;
}

/* ---- positions and values --------------------------------------------------------------- */

struct positions {
	struct hr_position *of; /* by shard */
	bool *is_there;
	uint32_t n;
};

static int positions_new(struct positions *p, uint32_t n, struct hr_err *err)
{
	*p = (struct positions){ calloc(n, sizeof(*p->of)), calloc(n, sizeof(bool)),
				 n };
	return p->of != NULL && p->is_there != NULL
		       ? 0
		       : hr_fail(err, -ENOMEM, "no memory for positions");
}

static void positions_free(struct positions *p)
{
	free(p->of);
	free(p->is_there);
}

static int position_read(struct positions *p, uint32_t shard, const redisReply *reply,
			 const struct hr_data_set *set, struct hr_err *err)
{
	p->is_there[shard] = reply->type == REDIS_REPLY_STRING;
	if (reply->type == REDIS_REPLY_NIL)
		return 0;
	if (reply->type == REDIS_REPLY_STRING &&
	    hr_position_parse(reply->str, reply->len, &p->of[shard]) == 0 &&
	    p->of[shard].generation == set->generation)
		return 0;
	return hr_fail(
		err, -EBADMSG,
		"headrace:shard:%u holds \"%.80s\": no position of this data set",
		shard, reply->str != NULL ? reply->str : "");
}

static int positions_read(struct positions *p, redisContext *redis,
			  const struct hr_data_set *set, struct hr_err *err)
{
	int r = 0;

	for (uint32_t s = 0; s < p->n && r == 0; s++) {
		redisReply *reply = redisCommand(redis, "GET headrace:shard:%u", s);

		if (reply == NULL)
			return hr_fail(err, -EIO, "Redis: %s", redis->errstr);
		r = position_read(p, s, reply, set, err);
		freeReplyObject(reply);
	}
	return r;
}

/* What was copied lies between what stood there before and after. */
static int positions_compare(const struct positions *before,
			     const struct positions *copy,
			     const struct positions *after, struct hr_err *err)
{
	for (uint32_t s = 0; s < copy->n; s++) {
		const uint64_t a = before->is_there[s] ? before->of[s].n : 0;
		const uint64_t b = copy->is_there[s] ? copy->of[s].n : 0;
		const uint64_t c = after->is_there[s] ? after->of[s].n : 0;

		if (a > b || b > c)
			return hr_fail(err, -EAGAIN,
				       "shard %u: the copy stands at link %" PRIu64
				       ", Redis stood at %" PRIu64 " before and at "
				       "%" PRIu64 " behind it: Redis went back "
				       "meanwhile",
				       s, b, a, c);
		if ((b == a && a > 0 &&
		     !hr_id128_equals(&before->of[s].hash, &copy->of[s].hash)) ||
		    (b == c && c > 0 &&
		     !hr_id128_equals(&after->of[s].hash, &copy->of[s].hash)))
			return hr_fail(err, -EBADMSG,
				       "shard %u: the copy has another hash at link "
				       "%" PRIu64 " than Redis",
				       s, b);
	}
	return 0;
}

/* Asks for headrace:user:<id>:state and the profile of that user. */
static void user_ask(redisContext *redis, const char *key)
{
	static const char head[] = "headrace:user:", tail[] = ":state";
	const size_t n = strlen(key) - strlen(head) - strlen(tail);

	redisAppendCommand(redis, "GET %s", key);
	redisAppendCommand(redis, "HMGET user:%b:profile total_views total_purchases",
			   key + strlen(head), n);
}

static bool is_number(const redisReply *r, long long wanted)
{
	return r->type == REDIS_REPLY_STRING && strtoll(r->str, NULL, 10) == wanted;
}

/* They say the same. */
static int user_compare(redisContext *redis, const char *key, struct hr_err *err)
{
	redisReply *state = NULL, *profile = NULL;
	long long views, purchases;
	bool fits =
		redisGetReply(redis, (void **)&state) == REDIS_OK &&
		redisGetReply(redis, (void **)&profile) == REDIS_OK &&
		state->type == REDIS_REPLY_STRING &&
		sscanf(state->str, "1 %*u %*d %lld %lld ", &views, &purchases) == 2 &&
		profile->type == REDIS_REPLY_ARRAY && profile->elements == 2 &&
		is_number(profile->element[0], views) &&
		is_number(profile->element[1], purchases);

	if (state != NULL)
		freeReplyObject(state);
	if (profile != NULL)
		freeReplyObject(profile);
	return fits ? 0
		    : hr_fail(err, -EBADMSG,
			      "%s and the profile of that user do not say the same in "
			      "the copy: Redis is damaged (see headrace:damaged)",
			      key);
}

/* The users of one answer to SCAN, in one round trip. */
static int page_compare(redisContext *redis, const redisReply *keys, uint64_t *n_users,
			struct hr_err *err)
{
	int r = 0;

	for (size_t i = 0; i < keys->elements; i++)
		user_ask(redis, keys->element[i]->str);
	for (size_t i = 0; i < keys->elements && r == 0; i++)
		r = user_compare(redis, keys->element[i]->str, err);
	*n_users += keys->elements;
	return r;
}

static int values_compare(redisContext *redis, const atomic_bool *stops,
			  uint64_t *n_users, struct hr_err *err)
{
	char cursor[32] = "0";
	int r = 0;

	do {
		redisReply *page = redisCommand(redis,
						"SCAN %s MATCH headrace:user:*:state "
						"COUNT " SCAN_COUNT,
						cursor);

		if (page == NULL || page->type != REDIS_REPLY_ARRAY ||
		    page->elements != 2)
			r = hr_fail(err, -EIO, "the copy cannot be scanned");
		if (r == 0)
			r = page_compare(redis, page->element[1], n_users, err);
		if (r == 0)
			(void)snprintf(cursor, sizeof(cursor), "%s",
				       page->element[0]->str);
		if (page != NULL)
			freeReplyObject(page);
		if (r == 0 && stops != NULL && atomic_load(stops))
			r = hr_fail(err, -ECANCELED, "it was told to end");
	} while (r == 0 && strcmp(cursor, "0") != 0);
	return r;
}

/* ---- making ------------------------------------------------------------------------- */

struct making {
	const struct hr_config *config;
	const struct hr_data_set *set;
	const atomic_bool *stops;
	struct hr_checkpoint *out;
	struct positions before, copy, after;
	redisContext *redis;
	uint32_t fold_version; /* of the chains, as they were at first; 0: not known */
	char part[HR_CHECKPOINT_NAME + 8];
	char folder[HR_CHECKPOINT_PATH]; /* of the part */
};

static int write_positions(const struct making *m, const char *name,
			   const struct positions *positions, struct hr_err *err)
{
	char path[HR_CHECKPOINT_PATH], text[HR_POSITION_TEXT], id[HR_ID128_TEXT];
	bool failed;
	FILE *f;

	path_of(path, m->folder, name, "");
	f = fopen(path, "wxe");
	if (f == NULL)
		return fail_at(err, path);
	hr_id128_print(id, &m->set->id);
	fprintf(f,
		HR_CHECKPOINT_FORM "\ndata_set %s\nbytes %" PRIu64 "\nusers %" PRIu64
				   "\nshards %u\n",
		id, m->out->bytes, m->out->n_users, positions->n);
	if (m->fold_version != 0)
		fprintf(f, "fold_version %u\n", m->fold_version);
	for (uint32_t s = 0; s < positions->n; s++) {
		(void)hr_position_print(&positions->of[s], text);
		fprintf(f, "position %u %s\n", s,
			positions->is_there[s] ? text : "none");
	}
	fprintf(f, "end\n");
	failed = fflush(f) != 0 || ferror(f) != 0 || fsync(fileno(f)) < 0;
	if (failed)
		hr_fail(err, -EIO, "%s cannot be written: %s", path, strerror(errno));
	fclose(f);
	return failed ? -EIO : 0;
}

static int verify(struct making *m, struct hr_err *err)
{
	struct hr_checkpoint_scratch scratch;
	int r = hr_checkpoint_scratch_begin(&scratch, m->folder, m->stops, err);

	if (r == 0)
		r = positions_read(&m->copy, scratch.redis, m->set, err);
	if (r == 0)
		r = positions_compare(&m->before, &m->copy, &m->after, err);
	if (r == 0)
		r = values_compare(scratch.redis, m->stops, &m->out->n_users, err);
	hr_checkpoint_scratch_end(&scratch);
	return r;
}

/* A Redis that went back, or is empty, must not push out what could mend it. */
static int refuse_older(const struct making *m, struct hr_err *err)
{
	struct hr_checkpoint_pins pins;
	char id[HR_ID128_TEXT];

	hr_id128_print(id, &m->set->id);
	for (uint32_t s = 0; s < m->before.n; s++) {
		const uint64_t n = m->before.is_there[s] ? m->before.of[s].n : 0;
		int r = hr_checkpoint_pins_read(&pins, m->config->checkpoint_folder, id,
						(uint16_t)s);

		if (r < 0)
			return hr_fail(err, r, "%s: a checkpoint cannot be read",
				       m->config->checkpoint_folder);
		for (uint32_t i = 0; i < pins.n_pins; i++)
			if (pins.n[i] > n)
				return hr_fail(err, -EAGAIN,
					       "shard %u: Redis stands at link %" PRIu64
					       ", a checkpoint at %" PRIu64
					       ": it went back, and has to come "
					       "forward first",
					       s, n, pins.n[i]);
	}
	return 0;
}

static int copy_redis(struct making *m, struct hr_err *err)
{
	char path[HR_CHECKPOINT_PATH];
	struct stat st;
	int r = positions_read(&m->before, m->redis, m->set, err);

	if (r == 0)
		r = refuse_older(m, err);
	/* From here on the dataplane keeps what a Redis of these positions needs. */
	if (r == 0)
		r = write_positions(m, "wanted", &m->before, err);
	path_of(path, m->folder, "dump.rdb", "");
	if (r == 0)
		r = hr_checkpoint_copy(m->config, path, m->stops, err);
	if (r == 0)
		r = sync_path(path, O_RDONLY, err);
	if (r == 0 && stat(path, &st) < 0)
		r = fail_at(err, path);
	if (r < 0)
		return r;
	m->out->bytes = (uint64_t)st.st_size;
	return positions_read(&m->after, m->redis, m->set, err);
}

static int give_name(const struct making *m, struct hr_err *err)
{
	char path[HR_CHECKPOINT_PATH];
	int r = sync_path(m->folder, O_RDONLY | O_DIRECTORY, err);

	path_of(path, m->config->checkpoint_folder, m->out->name, "");
	if (r == 0 && rename(m->folder, path) < 0)
		r = fail_at(err, path);
	if (r < 0)
		return r;
	path_of(path, m->config->checkpoint_folder, m->out->name, "wanted");
	(void)unlink(path);
	return sync_path(m->config->checkpoint_folder, O_RDONLY | O_DIRECTORY, err);
}

static int make(struct making *m, struct hr_err *err)
{
	const time_t now = time(NULL);
	struct tm utc;
	int r;

	(void)strftime(m->out->name, sizeof(m->out->name), "%Y%m%dT%H%M%SZ",
		       gmtime_r(&now, &utc));
	(void)snprintf(m->part, sizeof(m->part), "%s" PART, m->out->name);
	path_of(m->folder, m->config->checkpoint_folder, m->part, "");
	if (mkdir(m->folder, 0750) < 0)
		return fail_at(err, m->folder);
	r = copy_redis(m, err);
	if (r == 0)
		r = verify(m, err);
	if (r == 0)
		r = write_positions(m, "manifest", &m->copy, err);
	if (r == 0)
		r = give_name(m, err);
	if (r < 0)
		remove_one(m->config->checkpoint_folder, m->part);
	return r;
}

/* The least fold version of the chains that this appliance owns: who goes on from here
 * needs its rules. 0: the dataplane does not say. */
static uint32_t chains_version(const struct hr_config *config)
{
	char path[HR_CONFIG_TEXT + 32];
	json_t *status = NULL, *shard;
	json_int_t least = 0;
	size_t i;

	(void)snprintf(path, sizeof(path), "%s/" HR_CONTROL_DATAPLANE, config->run_dir);
	if (hr_control_ask(path, "status", ASK_MS, &status, NULL) < 0) {
		json_decref(status);
		return 0;
	}
	json_array_foreach(json_object_get(status, "shards"), i, shard)
	{
		const json_int_t v =
			json_integer_value(json_object_get(shard, "fold_version"));

		if (v > 0 && (least == 0 || v < least))
			least = v;
	}
	json_decref(status);
	return (uint32_t)least;
}

int hr_checkpoint_make(struct hr_checkpoint *out, const struct hr_config *config,
		       const struct hr_data_set *set, const atomic_bool *stops,
		       struct hr_err *err)
{
	struct making m = { .config = config, .set = set, .out = out, .stops = stops };
	int lock = -1, r = lock_folder(&lock, config, err);

	*out = (struct hr_checkpoint){ 0 };
	if (r < 0)
		return r;
	r = positions_new(&m.before, set->n_shards, err);
	if (r == 0)
		r = positions_new(&m.copy, set->n_shards, err);
	if (r == 0)
		r = positions_new(&m.after, set->n_shards, err);
	if (r == 0)
		r = hr_checkpoint_connect(&m.redis, config, err);
	if (r == 0) {
		remove_left(config);
		m.fold_version = chains_version(config);
		r = make(&m, err);
		redisFree(m.redis);
	}
	if (r == 0)
		tidy(config);
	positions_free(&m.before);
	positions_free(&m.copy);
	positions_free(&m.after);
	close(lock);
	return r;
}

/* ---- reading ------------------------------------------------------------------------ */

/* Prints it where out is given. Returns the bytes its dump.rdb must have, or a negated
 * errno. fold_version: of the chains when it was made, 0: it does not say. */
static int64_t manifest_read(FILE *out, const char *folder, const char *name,
			     uint32_t *fold_version, struct hr_err *err)
{
	char path[HR_CHECKPOINT_PATH], line[HR_POSITION_TEXT + 32];
	bool is_whole = false;
	int64_t bytes = -1;
	uint32_t version = 0, shard;
	uint64_t n;
	FILE *f;

	path_of(path, folder, name, "manifest");
	f = fopen(path, "re");
	if (f == NULL)
		return fail_at(err, path);
	*fold_version = 0;
	if (out != NULL)
		fprintf(out, "%s", name);
	while (fgets(line, sizeof(line), f) != NULL) {
		version |= strcmp(line, HR_CHECKPOINT_FORM "\n") == 0;
		if (sscanf(line, "bytes %" SCNd64, &bytes) == 1 && out != NULL)
			fprintf(out, "  %" PRId64 " bytes ", bytes);
		(void)sscanf(line, "fold_version %u", fold_version);
		if (sscanf(line, "position %u %*u %" SCNu64 " ", &shard, &n) == 2 &&
		    out != NULL)
			fprintf(out, " %u:%" PRIu64, shard, n);
		is_whole = strcmp(line, "end\n") == 0;
	}
	fclose(f);
	if (out != NULL && *fold_version != 0)
		fprintf(out, "  needs fold version %u", *fold_version);
	if (out != NULL)
		fputc('\n', out);
	return version == 1 && is_whole && bytes >= 0
		       ? bytes
		       : hr_fail(err, -EBADMSG, "%s is no manifest of a checkpoint",
				 path);
}

int hr_checkpoint_list(FILE *out, const struct hr_config *config, struct hr_err *err)
{
	struct dirent **found;
	uint32_t fold_version;
	int64_t r = 0;
	int n;

	if (config->checkpoint_folder[0] == '\0')
		return hr_fail(err, -EINVAL, "checkpoint.folder is empty");
	n = scandir(config->checkpoint_folder, &found, choose, alphasort);
	if (n < 0)
		return fail_at(err, config->checkpoint_folder);
	for (int i = 0; i < n; i++) {
		if (r >= 0)
			r = manifest_read(out, config->checkpoint_folder,
					  found[i]->d_name, &fold_version, err);
		free(found[i]);
	}
	free(found);
	return r < 0 ? (int)r : n;
}

static int refuse_filled(const char *folder, struct hr_err *err)
{
	static const char *const names[] = { "dump.rdb", "appendonly.aof",
					     "appendonlydir" };
	char path[HR_CHECKPOINT_PATH];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(path, folder, names[i], "");
		if (access(path, F_OK) == 0)
			return hr_fail(err, -EEXIST,
				       "found %s, expected a folder without data of "
				       "Redis: stop Redis and put its data aside",
				       path);
	}
	return 0;
}

int hr_checkpoint_restore(const struct hr_config *config, const char *name,
			  const char *folder, struct hr_err *err)
{
	char from[HR_CHECKPOINT_PATH], to[HR_CHECKPOINT_PATH];
	struct stat st;
	uint32_t fold_version;
	int64_t bytes;
	int r;

	if (!is_name(name))
		return hr_fail(err, -EINVAL,
			       "%s is no name of a checkpoint: "
			       "headracectl checkpoint list",
			       name);
	bytes = manifest_read(NULL, config->checkpoint_folder, name, &fold_version,
			      err);
	if (bytes < 0)
		return (int)bytes;
	/* A view goes on from its positions by those rules. */
	r = fold_version == 0
		    ? 0
		    : hr_fold_version_check(fold_version, "that checkpoint needs", err);
	if (r < 0)
		return r;
	path_of(from, config->checkpoint_folder, name, "dump.rdb");
	if (stat(from, &st) < 0)
		return fail_at(err, from);
	if (st.st_size != bytes)
		return hr_fail(err, -EBADMSG,
			       "%s has %lld bytes, its manifest says %lld", from,
			       (long long)st.st_size, (long long)bytes);
	r = refuse_filled(folder, err);
	path_of(to, folder, "dump.rdb", "");
	if (r == 0)
		r = copy_file(from, to, err);
	path_of(to, folder, "appendonly.aof", "");
	if (r == 0)
		r = copy_file(from, to, err);
	return r < 0 ? r : sync_path(folder, O_RDONLY | O_DIRECTORY, err);
}
