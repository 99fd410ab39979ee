/* SPDX-License-Identifier: Apache-2.0 */
/* Progress on stderr: a bar that is drawn again and again on a terminal, else a line at each change
 * of state or stage and every five seconds. */
#include "cli_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24, LINE = 160, LINE_EVERY = 5 };

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool on_terminal(void)
{
    return isatty(STDERR_FILENO);
}

/* Columns of the terminal. */
static int width(void)
{
    struct winsize size;
    return !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 80;
}

/* 0:09, 1:05, 2:03:00 */
static void clock_text(double seconds, char text[24])
{
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, 24, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 24, "%lu:%02lu", whole / 60, whole % 60);
}

static void describe(const hds_job_progress *p, char text[LINE])
{
    char left[24];
    size_t used = 0;
    if (p->state == HDS_JOB_PREPARING)
        used = (size_t)snprintf(text, LINE, "%s: preparing %d of %d", p->stage, p->prepared,
                                p->preparation_count);
    else
        used = (size_t)snprintf(text, LINE, "%s: step %d of %d", p->stage, p->step, p->step_count);
    if (p->seconds_left >= 0 && p->state != HDS_JOB_DONE) {
        clock_text(p->seconds_left, left);
        snprintf(text + used, LINE - used, ", %s left", left);
    }
}

static int share(const hds_job_progress *p, int of)
{
    return p->step_count > 0 ? (int)((long)p->step * of / p->step_count) : 0;
}

static void draw(cli_progress *progress, const hds_job_progress *now, const char *text)
{
    char bar[BAR + 1], line[2 * LINE];
    for (int i = 0; i < BAR; i++)
        bar[i] = i < share(now, BAR) ? '#' : '.';
    bar[BAR] = 0;
    snprintf(line, sizeof line, "%s[%s] %3d%%  %s", progress->prefix, bar, share(now, 100), text);
    fprintf(stderr, "\r\033[K%.*s", width() - 1, line);
    fflush(stderr);
    progress->drawn = true;
}

void cli_progress_show(cli_progress *progress, const hds_job_progress *now)
{
    char text[LINE];
    if (progress->quiet || now->state <= HDS_JOB_LOADING || now->state > HDS_JOB_DONE)
        return;
    describe(now, text);
    if (on_terminal()) {
        draw(progress, now, text);
        return;
    }
    double time = seconds_now();
    if (now->state == progress->state && !strcmp(now->stage, progress->stage) &&
        time < progress->next)
        return;
    progress->state = now->state;
    snprintf(progress->stage, sizeof progress->stage, "%s", now->stage);
    progress->next = time + LINE_EVERY;
    fprintf(stderr, "%s%3d%%  %s\n", progress->prefix, share(now, 100), text);
}

void cli_progress_say(cli_progress *progress, const char *text)
{
    if (progress->quiet)
        return;
    cli_progress_close(progress);
    fprintf(stderr, "%s%s\n", progress->prefix, text);
}

void cli_progress_close(cli_progress *progress)
{
    if (progress->drawn)
        fputc('\n', stderr);
    progress->drawn = false;
}
