// A server that truly burns more CPU: each send and writev takes BURN_TURNS turns of a loop more.
//   cc -O2 -shared -fPIC -o burn.so burn.c && BURN_TURNS=300 LD_PRELOAD=./burn.so shardcast serve
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

static unsigned long turns;
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_writev)(int, const struct iovec *, int);

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("BURN_TURNS");
    turns = text ? strtoul(text, NULL, 10) : 0;
    real_send = dlsym(RTLD_NEXT, "send");
    real_writev = dlsym(RTLD_NEXT, "writev");
}

static void burn(void)
{
    for (volatile unsigned long turn = 0; turn < turns; turn++) {
    }
}

ssize_t send(int socket, const void *bytes, size_t length, int flags)
{
    burn();
    return real_send(socket, bytes, length, flags);
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
    burn();
    return real_writev(file, parts, count);
}
