/* Loaded before libc into one process: its disk, its wall clock and its names fail as a shared file says.

   The file is mapped, so that whoever writes to it changes what the process meets at its next call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

enum { WRITES = 1, SYNCS = 2, OPENS = 4, READS = 8 };

/* As in preload.py. */
struct faults {
    int32_t error;         /* errno of calls on files below `folder`; 0 for none */
    int32_t calls;         /* which calls: a sum of the above */
    int64_t clock_ahead_s; /* of the wall clock */
    int32_t lookup_error;  /* EAI_… of looking up a name that ends in .test; 0 for none */
    char address[60];      /* where such names lead */
    char folder[512];
};

static const volatile struct faults *faults;

__attribute__((constructor)) static void map_faults(void) {
    const char *path = getenv("PRELOADED_FAULTS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *map = mmap(NULL, sizeof(struct faults), PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED)
        faults = map;
    close(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_armed(int call) { return faults && faults->error && faults->calls & call; }

static int is_below(const char *path) {
    const char *folder = (const char *)faults->folder;
    return *folder && !strncmp(path, folder, strlen(folder));
}

/* Whether a call on a path fails; then errno is set. */
static int path_fails(int call, const char *path) {
    char whole[4096];
    if (!is_armed(call) || !path)
        return 0;
    if (*path != '/') {
        if (!getcwd(whole, sizeof whole / 2))
            return 0;
        strcat(whole, "/");
        strncat(whole, path, sizeof whole / 2 - 2);
        path = whole;
    }
    if (!is_below(path))
        return 0;
    errno = faults->error;
    return 1;
}

/* Whether a call on an open file fails; then errno is set. */
static int file_fails(int call, int file) {
    char link[64], path[4096];
    if (!is_armed(call))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    if (!is_below(path))
        return 0;
    errno = faults->error;
    return 1;
}

#define ON_FILE(call, type, name, arguments, ...)                                                                      \
    type name arguments { return file_fails(call, file) ? -1 : REAL(name)(__VA_ARGS__); }

ON_FILE(WRITES, ssize_t, write, (int file, const void *data, size_t size), file, data, size)
ON_FILE(WRITES, ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), file, data, size, at)
ON_FILE(WRITES, ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at), file, data, size, at)
ON_FILE(WRITES, int, ftruncate, (int file, off_t size), file, size)
ON_FILE(WRITES, int, ftruncate64, (int file, off64_t size), file, size)
ON_FILE(SYNCS, int, fsync, (int file), file)
ON_FILE(SYNCS, int, fdatasync, (int file), file)
ON_FILE(READS, ssize_t, read, (int file, void *data, size_t size), file, data, size)
ON_FILE(READS, ssize_t, pread, (int file, void *data, size_t size, off_t at), file, data, size, at)
ON_FILE(READS, ssize_t, pread64, (int file, void *data, size_t size, off64_t at), file, data, size, at)

int rename(const char *from, const char *to) {
    return path_fails(WRITES, from) || path_fails(WRITES, to) ? -1 : REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode) { return path_fails(WRITES, path) ? -1 : REAL(mkdir)(path, mode); }

int unlink(const char *path) { return path_fails(WRITES, path) ? -1 : REAL(unlink)(path); }

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        if (path_fails(flags & (O_WRONLY | O_RDWR) ? OPENS : READS, path))                                             \
            return -1;                                                                                                 \
        return REAL(name)(path, flags, mode);                                                                          \
    }

OPEN(open)
OPEN(open64)

static int64_t ahead_s(void) { return faults ? faults->clock_ahead_s : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = REAL(clock_gettime)(clock, now);
    if (!done && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead_s();
    return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int done = REAL(gettimeofday)(now, zone);
    if (!done)
        now->tv_sec += ahead_s();
    return done;
}

time_t time(time_t *told) {
    time_t now = REAL(time)(NULL) + ahead_s();
    if (told)
        *told = now;
    return now;
}

/* Who waits until a moment of the wall clock has read it above; the kernel knows the machine's alone. */
static struct timespec as_the_kernel_has_it(const struct timespec *until) {
    struct timespec known = *until;
    if (known.tv_sec > 1000000000) /* else it is of the clock that starts with the machine */
        known.tv_sec -= ahead_s();
    return known;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec known = as_the_kernel_has_it(until);
    /* Without its version the oldest is found, which has another form of condition. */
    void *wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!wait)
        wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    return ((__typeof__(&pthread_cond_timedwait))wait)(condition, mutex, &known);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec known = as_the_kernel_has_it(until);
    return REAL(cnd_timedwait)(condition, mutex, &known);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    struct timespec known = as_the_kernel_has_it(until);
    return REAL(sem_timedwait)(semaphore, &known);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    size_t size = name ? strlen(name) : 0;
    if (faults && size > 5 && !strcmp(name + size - 5, ".test")) {
        if (faults->lookup_error)
            return faults->lookup_error;
        name = (const char *)faults->address;
    }
    return REAL(getaddrinfo)(name, service, hints, found);
}
