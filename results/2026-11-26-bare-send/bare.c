/*
 * What a server's socket options change in one send of one message, without a server.
 *
 *   cc -O2 -o bare bare.c && ./bare CONNECTIONS MESSAGE_BYTES CHANGE
 *
 * The sender, on core 0, has CONNECTIONS accepted sockets on loopback; the receiver, on core 1, reads them with epoll. Every
 * PAUSE_US the sender sends one message to each. The first half of the sockets is as accepted (with TCP_NODELAY); the other
 * half has CHANGE: none, reno (congestion control), route (made to forget the route), both, cork (MSG_MORE for 32 members, then
 * TCP_NODELAY again to push each; with plain sends in the other half). Halves take turns in being first, and rounds in
 * using the C library's send and the bare system call. Prints the medians of ROUNDS rounds, in us of wall time per send; the
 * loop never waits. The first rounds are left out: the receiver acknowledges the first 16 messages at once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 19000, LEFT_OUT = 24, ROUNDS = 120, PAUSE_US = 40000, CORKED = 32 };

static int sockets[CONNECTIONS_MAX];
static char message[65536];

static void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void *idle(void *nothing) {
    pause();
    return nothing;
}

/* The system call without the C library's cancellation point: x86-64 only. */
static long bare_send(long socket, const void *bytes, long length, long with_flags) {
    long sent;
    register long flags __asm__("r10") = with_flags;
    register long address __asm__("r8") = 0;
    register long address_length __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "=a"(sent)
                     : "a"(SYS_sendto), "D"(socket), "S"(bytes), "d"(length), "r"(flags), "r"(address), "r"(address_length)
                     : "rcx", "r11", "memory");
    return sent;
}

static void receive(struct sockaddr_in address, int connections) {
    static char buffer[65536];
    struct epoll_event events[1024];
    int poller = epoll_create1(0);
    pin(1);
    for (int i = 0; i < connections; i++) {
        int socket_ = socket(AF_INET, SOCK_STREAM, 0);
        struct epoll_event event = {EPOLLIN | EPOLLET, {.fd = socket_}};
        if (connect(socket_, (void *)&address, sizeof address)) exit(1);
        epoll_ctl(poller, EPOLL_CTL_ADD, socket_, &event);
    }
    for (;;) {
        int count = epoll_wait(poller, events, 1024, -1);
        for (int i = 0; i < count; i++) recv(events[i].data.fd, buffer, sizeof buffer, MSG_DONTWAIT);
    }
}

static double send_to(int first, int end, int length, int bare, int cork) {
    int one = 1, flags = MSG_NOSIGNAL | MSG_DONTWAIT | (cork ? MSG_MORE : 0);
    double begin = now_us();
    for (int batch = first; batch < end; batch += CORKED) {
        int last = batch + CORKED < end ? batch + CORKED : end;
        for (int i = batch; i < last; i++) {
            long sent = bare ? bare_send(sockets[i], message, length, flags) : send(sockets[i], message, length, flags);
            if (sent != length) {
                fprintf(stderr, "a send took %ld of %d bytes\n", sent, length);
                exit(1);
            }
        }
        for (int i = batch; cork && i < last; i++) setsockopt(sockets[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return (now_us() - begin) / (end - first);
}

int main(int count, char **argument) {
    if (count != 4) return 64;
    int connections = atoi(argument[1]), length = atoi(argument[2]), half = connections / 2, one = 1, zero = 0;
    const char *change = argument[3];
    int both = !strcmp(change, "both"), reno = both || !strcmp(change, "reno"), route = both || !strcmp(change, "route");
    int cork = !strcmp(change, "cork");
    struct rlimit files = {20000, 20000};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (connections > CONNECTIONS_MAX || length > (int)sizeof message || setrlimit(RLIMIT_NOFILE, &files)) return 64;
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return 1;
    getsockname(listener, (void *)&address, &address_length);
    pid_t receiver = fork();
    if (!receiver) receive(address, connections);
    pin(0);
    for (int i = 0; i < connections; i++) {
        sockets[i] = accept(listener, 0, 0);
        setsockopt(sockets[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (i >= half && reno) setsockopt(sockets[i], IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
        if (i >= half && route) setsockopt(sockets[i], SOL_SOCKET, SO_DONTROUTE, &zero, sizeof zero);
    }
    /* A server has more than one thread, which share the table of files. */
    pthread_t other;
    pthread_create(&other, 0, idle, 0);
    double us[2][2][ROUNDS];
    int taken[2][2] = {{0}};
    for (int round = 0; round < LEFT_OUT + ROUNDS; round++) {
        int bare = round % 2;
        for (int turn = 0; turn < 2; turn++) {
            int changed = (turn + round / 2) % 2;
            double each = send_to(changed ? half : 0, changed ? connections : half, length, bare, cork && changed);
            if (round >= LEFT_OUT) us[bare][changed][taken[bare][changed]++] = each;
            usleep(500);
        }
        usleep(PAUSE_US);
    }
    kill(receiver, SIGKILL);
    waitpid(receiver, 0, 0);
    printf("%5d connections, %4d bytes, %-5s:", connections, length, change);
    for (int bare = 0; bare < 2; bare++) {
        double median[2];
        for (int changed = 0; changed < 2; changed++) {
            qsort(us[bare][changed], taken[bare][changed], sizeof(double), by_size);
            median[changed] = us[bare][changed][taken[bare][changed] / 2];
        }
        printf("  %s %.3f -> %.3f (%.3f)", bare ? "system call" : "send", median[0], median[1], median[1] / median[0]);
    }
    puts("");
    return 0;
}
