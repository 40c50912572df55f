/*
 * Makes system calls of a program fail or wait on demand: loaded before the C library (LD_PRELOAD).
 *
 * XDHCPD_FAULTS names a directory. While a file there has the name of a function of the C library, calls of that function
 * do as its content says:
 *
 *     fail ERRNO    they fail so
 *     once ERRNO    one does, whichever comes first, and takes the file away
 *     wait          they wait until the file is gone, and then go on
 *     slow MS       they take so many milliseconds longer
 *     less          they take a part of what there is to write
 *
 * A file "try" there holds the number of a system call: whoever calls one of the functions next makes that call with six
 * zeros, and puts errno, or 0, into a file "tried".
 *
 * "NAME.FD" instead of "NAME" concerns calls on this descriptor only; "bpf.COMMAND" one command of bpf(2), which no function
 * stands for.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING = 0, LESS = -1 };

static long (*real_syscall)(long, ...);

__attribute__((constructor)) static void find_syscall(void) {
    real_syscall = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
}

/* What becomes of a call: an errno, LESS or NOTHING. Uses no function that is replaced below. */
static int fault_at(const char *path) {
    char what[32] = {0};
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return NOTHING;
    ssize_t got = syscall(SYS_read, fd, what, sizeof what - 1);
    syscall(SYS_close, fd);
    if (got <= 0)
        return NOTHING;
    if (strncmp(what, "fail ", 5) == 0)
        return atoi(what + 5);
    if (strncmp(what, "once ", 5) == 0)
        return syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0 ? atoi(what + 5) : NOTHING;
    if (strncmp(what, "less", 4) == 0)
        return LESS;
    if (strncmp(what, "slow ", 5) == 0) {
        const long milliseconds = atol(what + 5);
        const struct timespec while_ = {milliseconds / 1000, milliseconds % 1000 * 1000000};
        syscall(SYS_nanosleep, &while_, NULL);
    }
    if (strncmp(what, "wait", 4) == 0) {
        const struct timespec moment = {0, 1000000};
        while (syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0)
            syscall(SYS_nanosleep, &moment, NULL);
    }
    return NOTHING;
}

/* Makes the call that a test wants tried. */
static void try_call(const char *directory) {
    char path[512], said[32] = {0};
    snprintf(path, sizeof path, "%s/try", directory);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    ssize_t got = syscall(SYS_read, fd, said, sizeof said - 1);
    syscall(SYS_close, fd);
    /* Of several threads one has it. */
    if (got <= 0 || syscall(SYS_unlinkat, AT_FDCWD, path, 0) != 0)
        return;
    long result = syscall(atol(said), 0, 0, 0, 0, 0, 0);
    int length = snprintf(said, sizeof said, "%d\n", result < 0 ? errno : 0);
    snprintf(path, sizeof path, "%s/tried", directory);
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    syscall(SYS_write, fd, said, length);
    syscall(SYS_close, fd);
}

static int fault(const char *name, int fd) {
    int kept = errno;
    const char *directory = getenv("XDHCPD_FAULTS");
    char path[512];
    int found = NOTHING;
    if (directory != NULL) {
        try_call(directory);
        snprintf(path, sizeof path, "%s/%s.%d", directory, name, fd);
        found = fault_at(path);
        if (found == NOTHING) {
            snprintf(path, sizeof path, "%s/%s", directory, name);
            found = fault_at(path);
        }
    }
    errno = kept;
    return found;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A function whose first argument is a descriptor and that gives -1 when it fails. */
#define ON_DESCRIPTOR(type, name, parameters, arguments)                                                             \
    type name parameters {                                                                                           \
        static __typeof__(&name) real;                                                                               \
        int found = fault(#name, fd);                                                                                \
        if (found > 0) {                                                                                             \
            errno = found;                                                                                           \
            return -1;                                                                                               \
        }                                                                                                            \
        if (real == NULL)                                                                                            \
            real = REAL(name);                                                                                       \
        return real arguments;                                                                                       \
    }

ON_DESCRIPTOR(int, fsync, (int fd), (fd))
ON_DESCRIPTOR(int, fdatasync, (int fd), (fd))
ON_DESCRIPTOR(ssize_t, pwrite64, (int fd, const void *from, size_t length, off64_t at), (fd, from, length, at))
ON_DESCRIPTOR(ssize_t, sendto,
              (int fd, const void *from, size_t length, int flags, const struct sockaddr *to, socklen_t size),
              (fd, from, length, flags, to, size))
ON_DESCRIPTOR(ssize_t, send, (int fd, const void *from, size_t length, int flags), (fd, from, length, flags))
ON_DESCRIPTOR(ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count))
ON_DESCRIPTOR(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
ON_DESCRIPTOR(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags), (fd, messages, count, flags))
ON_DESCRIPTOR(ssize_t, recv, (int fd, void *to, size_t length, int flags), (fd, to, length, flags))
ON_DESCRIPTOR(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
ON_DESCRIPTOR(ssize_t, recvfrom,
              (int fd, void *to, size_t length, int flags, struct sockaddr *from, socklen_t *size),
              (fd, to, length, flags, from, size))
ON_DESCRIPTOR(int, recvmmsg,
              (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout),
              (fd, messages, count, flags, timeout))
ON_DESCRIPTOR(int, accept4, (int fd, struct sockaddr *from, socklen_t *size, int flags), (fd, from, size, flags))
ON_DESCRIPTOR(int, fallocate64, (int fd, int mode, off64_t at, off64_t length), (fd, mode, at, length))

ssize_t write(int fd, const void *from, size_t length) {
    static __typeof__(&write) real;
    int found = fault("write", fd);
    if (found > 0) {
        errno = found;
        return -1;
    }
    if (real == NULL)
        real = REAL(write);
    return real(fd, from, found == LESS && length > 1 ? length / 2 : length);
}

/* Gives what is wrong instead of setting errno. */
int posix_fallocate64(int fd, off64_t at, off64_t length) {
    static __typeof__(&posix_fallocate64) real;
    int found = fault("posix_fallocate64", fd);
    if (found > 0)
        return found;
    if (real == NULL)
        real = REAL(posix_fallocate64);
    return real(fd, at, length);
}

int open64(const char *path, int flags, ...) {
    static __typeof__(&open64) real;
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    int found = fault("open64", -1);
    if (found > 0) {
        errno = found;
        return -1;
    }
    if (real == NULL)
        real = REAL(open64);
    return real(path, flags, mode);
}

int socket(int domain, int type, int protocol) {
    static __typeof__(&socket) real;
    int found = fault("socket", domain);
    if (found > 0) {
        errno = found;
        return -1;
    }
    if (real == NULL)
        real = REAL(socket);
    return real(domain, type, protocol);
}

/* Gives what is wrong instead of setting errno. */
int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with) {
    static __typeof__(&pthread_create) real;
    int found = fault("pthread_create", -1);
    if (found > 0)
        return found;
    if (real == NULL)
        real = REAL(pthread_create);
    return real(thread, how, run, with);
}

long syscall(long number, ...) {
    long with[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++)
        with[i] = va_arg(more, long);
    va_end(more);
    int found = number == SYS_bpf ? fault("bpf", (int)with[0]) : NOTHING;
    if (found > 0) {
        errno = found;
        return -1;
    }
    if (real_syscall == NULL)
        find_syscall();
    return real_syscall(number, with[0], with[1], with[2], with[3], with[4], with[5]);
}
