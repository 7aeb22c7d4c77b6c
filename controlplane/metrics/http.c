/* SPDX-License-Identifier: BSD-3-Clause */

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "common/log.h"
#include "controlplane/metrics/http.h"

#define CONNECTION_BYTES 16384u
#define BACKLOG 32

struct hr_http {
	struct MHD_Daemon *daemon;
	int epoll;
	const struct hr_http_page *pages;
	void *ctx;
	char address[INET6_ADDRSTRLEN + 16];
};

void hr_http_answer_json(struct hr_http_answer *out, unsigned int status,
			 const char *type, json_t *object)
{
	char *text = json_dumps(object, JSON_INDENT(2));
	size_t n = text == NULL ? 0 : strlen(text);
	char *body = text == NULL ? NULL : realloc(text, n + 2);

	json_decref(object);
	out->status = status;
	out->type = type;
	out->body = body;
	if (body == NULL) {
		free(text);
		return;
	}
	memcpy(body + n, "\n", 2);
	out->n = n + 1;
}

static void problem(struct hr_http_answer *out, unsigned int status, const char *title,
		    const char *detail)
{
	hr_http_answer_json(out, status, "application/problem+json",
			    json_pack("{s:s, s:i, s:s}", "title", title, "status",
				      (int)status, "detail", detail));
}

static enum MHD_Result queue(struct MHD_Connection *connection,
			     struct hr_http_answer *answer)
{
	struct MHD_Response *response;
	enum MHD_Result rc;

	if (answer->body == NULL)
		return MHD_NO; /* hangs up */
	response = MHD_create_response_from_buffer(answer->n, answer->body,
						   MHD_RESPMEM_MUST_FREE);
	if (response == NULL) {
		free(answer->body);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				      answer->type);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
				      "no-store");
	if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
					      "GET, HEAD");
	rc = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	return rc;
}

static const struct hr_http_page *find_page(const struct hr_http *http,
					    const char *path)
{
	for (const struct hr_http_page *p = http->pages; p->path != NULL; p++)
		if (strcmp(p->path, path) == 0)
			return p;
	return NULL;
}

static bool only_reads(const char *method)
{
	return strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
	       strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

/*
 * libmicrohttpd calls once when the head is there, then with what came of a body.
 * Answering at once closes the connection behind the answer, which is right for what
 * is refused: its body is never read.
 */
static enum MHD_Result handle(void *ctx, struct MHD_Connection *connection,
			      const char *url, const char *method, const char *version,
			      const char *upload, size_t *upload_bytes, void **request)
{
	static char seen; /* its address marks a request that came here before */
	const struct hr_http *http = ctx;
	const struct hr_http_page *page = find_page(http, url);
	struct hr_http_answer answer = { .status = MHD_HTTP_OK };

	(void)version;
	(void)upload;
	if (page != NULL && only_reads(method) && *request == NULL) {
		*request = &seen;
		return MHD_YES;
	}
	if (*upload_bytes != 0) { /* a GET with a body: nobody asked for it */
		*upload_bytes = 0;
		return MHD_YES;
	}
	if (page == NULL)
		problem(&answer, MHD_HTTP_NOT_FOUND, "Not Found",
			"There are /metrics, /livez and /readyz.");
	else if (!only_reads(method))
		problem(&answer, MHD_HTTP_METHOD_NOT_ALLOWED, "Method Not Allowed",
			"Pages are read with GET.");
	else
		page->get(http->ctx, &answer);
	return queue(connection, &answer);
}

__attribute__((format(printf, 2, 0))) static void log_line(void *ctx, const char *fmt,
							   va_list args)
{
	char text[256];

	(void)ctx;
	(void)vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	hr_debug("metrics", "%s", text);
}

/* "address:port" cut at its last colon, brackets off. */
static int split(const char *listen, char host[64], char port[8])
{
	const char *colon = strrchr(listen, ':');
	size_t n = colon == NULL ? 0 : (size_t)(colon - listen);

	if (colon == NULL || strlen(colon + 1) >= 8 || n >= 64)
		return -EINVAL;
	if (n >= 2 && listen[0] == '[' && listen[n - 1] == ']') {
		listen++;
		n -= 2;
	}
	memcpy(host, listen, n);
	host[n] = '\0';
	strcpy(port, colon + 1);
	return 0;
}

static int resolve(const char *listen, struct addrinfo **out, struct hr_err *err)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	char host[64], port[8];

	if (split(listen, host, port) < 0 ||
	    getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, out) != 0)
		return hr_fail(err, -EINVAL,
			       "control.metrics_listen: found \"%s\", expected "
			       "address:port such as 127.0.0.1:9464 or [::1]:9464",
			       listen);
	return 0;
}

static int listen_at(const char *listen_text, struct hr_err *err)
{
	struct addrinfo *address;
	int one = 1, fd, rc = resolve(listen_text, &address, err);

	if (rc < 0)
		return rc;
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, address->ai_addr, address->ai_addrlen) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		rc = hr_fail(err, -errno,
			     "cannot listen at %s for metrics: %s; free it, or choose "
			     "another control.metrics_listen",
			     listen_text, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = rc;
	}
	freeaddrinfo(address);
	return fd;
}

static void note_address(struct hr_http *http, int fd)
{
	struct sockaddr_storage at;
	socklen_t n = sizeof(at);
	char host[INET6_ADDRSTRLEN] = "", port[8] = "";

	if (getsockname(fd, (struct sockaddr *)&at, &n) == 0)
		(void)getnameinfo((struct sockaddr *)&at, n, host, sizeof(host), port,
				  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	(void)snprintf(http->address, sizeof(http->address),
		       at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static int start(struct hr_http *http, int fd, struct hr_err *err)
{
	const union MHD_DaemonInfo *info;

	/* The logger comes first: the options behind it may complain. */
	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, http,
		MHD_OPTION_EXTERNAL_LOGGER, log_line, NULL, MHD_OPTION_LISTEN_SOCKET,
		fd, MHD_OPTION_CONNECTION_LIMIT, HR_HTTP_CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, HR_HTTP_IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_END);
	if (http->daemon == NULL) {
		close(fd);
		return hr_fail(err, -EIO, "libmicrohttpd does not start");
	}
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return hr_fail(err, -ENOTSUP, "libmicrohttpd has no epoll here");
	http->epoll = info->epoll_fd;
	return 0;
}

int hr_http_open(struct hr_http **out, const char *listen_text,
		 const struct hr_http_page *pages, void *ctx, struct hr_err *err)
{
	struct hr_http *http = calloc(1, sizeof(*http));
	int fd, rc;

	if (http == NULL)
		return hr_fail(err, -ENOMEM, "no memory for an HTTP server");
	http->pages = pages;
	http->ctx = ctx;
	fd = rc = listen_at(listen_text, err);
	if (fd >= 0) {
		note_address(http, fd);
		rc = start(http, fd, err);
	}
	if (rc < 0) {
		hr_http_close(http);
		return rc;
	}
	*out = http;
	return 0;
}

void hr_http_close(struct hr_http *http)
{
	if (http == NULL)
		return;
	if (http->daemon != NULL)
		MHD_stop_daemon(http->daemon);
	free(http);
}

int hr_http_fd(const struct hr_http *http)
{
	return http->epoll;
}

int hr_http_serve(struct hr_http *http)
{
	MHD_UNSIGNED_LONG_LONG ms;

	(void)MHD_run(http->daemon);
	if (MHD_get_timeout(http->daemon, &ms) != MHD_YES)
		return -1;
	return ms > 1000 ? 1000 : (int)ms;
}

const char *hr_http_address(const struct hr_http *http)
{
	return http->address;
}
