/* SPDX-License-Identifier: Apache-2.0 */
/* Two hundred heads in one process, with checkpoints: memory stays where it was after
 * the first ten. */
#include "toy.h"

#include <malloc.h>

enum { HEADS = 200, WARM = 10 };

static double resident_mib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void make_one(const hds_generate_params *p)
{
    hds_error error = { 0 };
    hds_head *head;
    hds_job *job;
    toy_ok(hds_job_create(&job, p, &error), &error);
    toy_ok(hds_job_start(job, &error), &error);
    toy_ok(hds_job_wait(job, -1, &head, &error), &error);
    hds_head_unref(head);
    hds_job_destroy(&job);
}

static void two_hundred_heads_take_the_memory_of_ten(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, 3);
    char *checkpoint = toy_file(t, "run.checkpoint");
    double warm = 0, most = 0;
    p.checkpoint = checkpoint;
    for (int i = 0; i < HEADS; i++) {
        p.seed = (uint64_t)i;
        make_one(&p);
        double now = resident_mib();
        if (i < WARM)
            warm = now > warm ? now : warm;
        most = now > most ? now : most;
    }
    print_message("resident after %d heads %.1f MiB, at most %.1f\n", WARM, warm, most);
    assert_true(warm > 1);
    assert_true(most < 1.02 * warm);
    hds_free(checkpoint);
}

int main(void)
{
    mallopt(M_ARENA_MAX,
            1); /* else each job's thread may get an arena of its own, kept half empty */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hundred_heads_take_the_memory_of_ten),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}
