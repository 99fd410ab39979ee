/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on their threads: progress, cancel, destruction, two at once, and processes that are killed.
 * `test_job child PRIOR HEAD CHECKPOINT STEPS` is a process that is killed. */
#include "toy.h"

#include "headsds/asset.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

enum { STEPS = 8, KILLED_STEPS = 200, LONGEST = 40, PREPARED = 36, FOR_EVER = 100000 };
enum { RUN_KILLS = 30, SAVE_KILLS = 70, SEED = 20 };

static const char *self; /* this program */
extern char **environ;

static hds_job *start(const hds_generate_params *p)
{
    hds_error error = { 0 };
    hds_job *job;
    toy_ok(hds_job_create(&job, p, &error), &error);
    toy_ok(hds_job_start(job, &error), &error);
    return job;
}

static hds_head *finish(hds_job *job)
{
    hds_error error = { 0 };
    hds_head *head;
    toy_ok(hds_job_wait(job, -1, &head, &error), &error);
    assert_non_null(head);
    hds_job_destroy(&job);
    return head;
}

static void assert_same_head(const hds_head *a, const hds_head *b)
{
    hds_head_info x, y;
    hds_head_get_info(a, &x);
    hds_head_get_info(b, &y);
    assert_memory_equal(x.shape, y.shape, TOY_SHAPES * sizeof(float));
    assert_memory_equal(x.texture, y.texture, TOY_TEXTURE * TOY_TEXTURE * 3);
    assert_int_equal(x.history_count, y.history_count);
    assert_memory_equal(x.history, y.history, x.history_count * sizeof *x.history);
}

/* Watches until `steps` steps are taken or the job has ended. */
static hds_job_progress watch(hds_job *job, int steps)
{
    hds_job_progress p;
    do {
        hds_job_get_progress(job, &p);
        usleep(500);
    } while (p.step < steps && p.state < HDS_JOB_DONE);
    return p;
}

static void progress_grows_to_the_total(void **state)
{
    hds_generate_params p = toy_params(*state, STEPS);
    hds_error error = { 0 };
    hds_job *job;
    hds_job_progress last, now;
    toy_ok(hds_job_create(&job, &p, &error), &error);
    hds_job_get_progress(job, &last);
    assert_int_equal(last.state, HDS_JOB_NEW);
    assert_true(last.seconds == 0 && last.seconds_left < 0);
    assert_null(hds_job_preview(job));
    toy_ok(hds_job_start(job, &error), &error);
    do {
        hds_job_get_progress(job, &now);
        assert_true(now.state >= last.state && now.stage >= last.stage && now.step >= last.step);
        assert_true(now.seconds >= last.seconds);
        assert_true(now.step <= 2 * STEPS && (!now.step || now.step_count == 2 * STEPS));
        last = now;
    } while (now.state < HDS_JOB_DONE);
    hds_head *head, *preview = hds_job_preview(job);
    toy_ok(hds_job_wait(job, INFINITY, &head, &error), &error);
    assert_int_equal(now.state, HDS_JOB_DONE);
    assert_int_equal(now.step, 2 * STEPS);
    assert_int_equal(now.last.step, STEPS - 1);
    assert_true(now.seconds_left == 0);
    assert_same_head(head, preview);
    hds_head_unref(preview);
    hds_head_unref(head);
    hds_job_destroy(&job);
}

static void cancel_leaves_a_head_and_a_checkpoint(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, FOR_EVER);
    char *path = toy_file(t, "cancelled.checkpoint");
    p.checkpoint = path;
    hds_error error = { 0 };
    hds_job *job = start(&p);
    hds_head *head;
    toy_ok(hds_job_wait(job, 0, &head, &error), &error);
    assert_null(head);
    watch(job, 3);
    hds_job_cancel(job);
    hds_job_progress before, after;
    hds_job_get_progress(job, &before);
    toy_refused(hds_job_wait(job, -1, &head, &error), HDS_ERROR_CANCELLED, &error, "cancelled", "");
    assert_null(head);
    hds_job_get_progress(job, &after);
    assert_int_equal(after.state, HDS_JOB_CANCELLED);
    assert_in_range(after.step, before.step, before.step + 1);
    head = hds_job_preview(job);
    assert_non_null(head);
    hds_head_info info;
    hds_head_get_info(head, &info);
    assert_int_equal(info.history_count, after.step);
    hds_job_destroy(&job);

    /* The checkpoint is of that very step. */
    fit_run run;
    toy_ok(fit_run_init(&run, &p, &fit_built_in, &error), &error);
    toy_ok(fit_checkpoint_load(&run, path, &error), &error);
    assert_int_equal(run.history_count, after.step);
    assert_memory_equal(run.subject.variables[FIT_SHAPE].x, info.shape, TOY_SHAPES * sizeof(float));
    fit_run_finish(&run);
    hds_head_unref(head);
    hds_free(path);
}

static void a_job_can_go_at_any_time(void **state)
{
    hds_generate_params p = toy_params(*state, FOR_EVER);
    hds_error error = { 0 };
    hds_job *job;
    job = NULL;
    hds_job_destroy(&job);
    toy_ok(hds_job_create(&job, &p, &error), &error);
    hds_job_destroy(&job);
    job = start(&p);
    hds_job_destroy(&job);
    assert_null(job);
    job = start(&p);
    watch(job, 2);
    hds_job_destroy(&job);
}

static void two_jobs_share_a_prior(void **state)
{
    hds_generate_params p = toy_params(*state, STEPS), q = p;
    q.seed++;
    hds_head *alone[2] = { finish(start(&p)), finish(start(&q)) };
    hds_job *first = start(&p), *second = start(&q);
    hds_head *together[2] = { finish(first), finish(second) };
    for (int i = 0; i < 2; i++) {
        assert_same_head(alone[i], together[i]);
        hds_head_unref(alone[i]);
        hds_head_unref(together[i]);
    }
}

static void create_refused(const hds_generate_params *p, const char *word)
{
    hds_error error = { 0 };
    hds_job *job;
    toy_refused(hds_job_create(&job, p, &error), HDS_ERROR_ARGUMENT, &error, word, "");
    assert_null(job);
}

static void jobs_that_cannot_be_are_refused(void **state)
{
    hds_generate_params p = toy_params(*state, STEPS);
    static const char *const empty[] = { NULL, "", " \t\n" };
    for (int i = 0; i < 3; i++) {
        p.prompt = empty[i];
        create_refused(&p, "the prompt is empty");
    }
    p = toy_params(*state, STEPS);
    toy_stages[GEOMETRY].skip = toy_stages[TEXTURE].skip = true;
    create_refused(&p, "all stages are skipped");
    p = toy_params(*state, STEPS);
    toy_stages[GEOMETRY].views = -2;
    create_refused(&p, "geometry.views is -2");
    p = toy_params(*state, STEPS);
    p.resume = true;
    create_refused(&p, "resume needs");

    hds_error error = { 0 };
    hds_head *head;
    hds_job *job;
    p.resume = false;
    toy_ok(hds_job_create(&job, &p, &error), &error);
    toy_refused(hds_job_wait(job, -1, &head, &error), HDS_ERROR_ARGUMENT, &error, "not started",
                "");
    toy_ok(hds_job_start(job, &error), &error);
    toy_refused(hds_job_start(job, &error), HDS_ERROR_ARGUMENT, &error, "started already", "");
    hds_job_destroy(&job);
}

static void job_fails(const hds_generate_params *p, hds_status status, const char *place,
                      const char *word)
{
    hds_error error = { 0 };
    hds_head *head;
    hds_job_progress progress;
    hds_job *job = start(p);
    toy_refused(hds_job_wait(job, -1, &head, &error), status, &error, place, word);
    hds_job_get_progress(job, &progress);
    assert_int_equal(progress.state, HDS_JOB_FAILED);
    assert_int_equal(progress.step, 0);
    assert_null(head);
    hds_job_destroy(&job);
}

static void a_job_fails_before_its_first_step(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, STEPS);
    char *nowhere = toy_file(t, "nowhere/run.checkpoint"), *folder = toy_file(t, "prior");
    p.checkpoint = nowhere;
    job_fails(&p, HDS_ERROR_NOT_FOUND, nowhere, "folder does not exist");
    p.checkpoint = folder;
    job_fails(&p, HDS_ERROR_OS, folder, "");
    char *noise = files_write(t->folder, "noise.checkpoint", "no checkpoint");
    p.checkpoint = noise;
    p.resume = true;
    job_fails(&p, HDS_ERROR_FORMAT, noise, "");
    hds_free(nowhere);
    hds_free(folder);
    hds_free(noise);
}

/* How many steps a checkpoint is after, those of preparation too; 0: there is none. */
static int steps_kept(const hds_generate_params *p)
{
    hds_error error = { 0 };
    fit_run run;
    if (!io_exists(p->checkpoint))
        return 0;
    toy_ok(fit_run_init(&run, p, &fit_built_in, &error), &error);
    toy_ok(fit_checkpoint_load(&run, p->checkpoint, &error), &error);
    int steps = (int)run.history_count;
    steps += run.stage || run.step ? PREPARED : run.current.preconditioner.done;
    fit_run_finish(&run);
    return steps;
}

/* One byte on standard output for each step that is taken, of preparation too. After so many as the
 * last argument says it cancels the job, which is saved then; it never ends by itself. */
static int child(char **arguments)
{
    hds_error error = { 0 };
    toy t = { .prior = NULL };
    hds_job *job = NULL;
    if (hds_prior_load(&t.prior, &(hds_prior_params){ .path = arguments[0] }, &error) == HDS_OK &&
        hds_head_model_load(&t.model, &(hds_head_model_params){ .path = arguments[1] }, &error) ==
            HDS_OK) {
        hds_generate_params p = toy_params(&t, KILLED_STEPS);
        p.checkpoint = arguments[2];
        p.resume = true;
        int told = -steps_kept(&p), cancel_at = atoi(arguments[3]);
        if (hds_job_create(&job, &p, &error) == HDS_OK && hds_job_start(job, &error) == HDS_OK) {
            int before = -told;
            hds_job_progress now;
            do {
                usleep(200);
                hds_job_get_progress(job, &now);
                int taken = now.step + (now.step ? PREPARED : now.prepared) - before;
                for (told = told < 0 ? 0 : told; told < taken; told++)
                    if (write(STDOUT_FILENO, ".", 1) != 1)
                        return 1;
                if (cancel_at && told >= cancel_at)
                    hds_job_cancel(job);
            } while (now.state < HDS_JOB_DONE);
            for (; now.state != HDS_JOB_FAILED;)
                pause();
            if (hds_job_wait(job, 0, &(hds_head *){ NULL }, &error) == HDS_OK)
                return 1;
        }
    }
    return print_error("%s\n", error.message), 1;
}

/* It did not end by itself. */
static void kill_it(pid_t process, rng *r, uint32_t microseconds)
{
    int status;
    usleep(rng_below(r, microseconds));
    kill(process, SIGKILL);
    waitpid(process, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A child that is killed after this many steps and a moment more. */
static void kill_run(const toy *t, const char *path, int steps, bool saving, rng *r)
{
    char cancel_at[16];
    snprintf(cancel_at, sizeof cancel_at, "%d", saving ? steps : 0);
    char *const arguments[] = { (char *)(uintptr_t)self, "child",   t->prior_path, t->head_path,
                                (char *)(uintptr_t)path, cancel_at, NULL };
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t process;
    char byte;
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    assert_int_equal(posix_spawn(&process, self, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    for (int i = 0; i < steps; i++)
        assert_int_equal(read(ends[0], &byte, 1), 1);
    kill_it(process, r, 4000);
    close(ends[0]);
}

/* Runs that are killed again and again, while steps are taken or while a checkpoint is written, and
 * continue each time: a checkpoint is never lost, and the head that comes out in the end is that of
 * a run in one piece. */
static void killed_runs_continue_to_the_same_bytes(void **state)
{
    const toy *t = *state;
    char *path = toy_file(t, "killed.checkpoint");
    hds_generate_params p = toy_params(t, KILLED_STEPS);
    hds_head *whole = finish(start(&p));
    rng r = rng_make(SEED, 0);
    int later = 0;
    p.checkpoint = path;
    p.resume = true;
    print_message("seed %d\n", SEED);
    for (int kills = 0; kills < RUN_KILLS;) {
        int kept = 0;
        (void)unlink(path);
        while (kills < RUN_KILLS && kept + LONGEST < PREPARED + 2 * KILLED_STEPS) {
            kill_run(t, path, 1 + (int)rng_below(&r, LONGEST - 1), kills % 2, &r);
            kills++;
            int now = steps_kept(&p);
            assert_in_range(now, kept, PREPARED + 2 * KILLED_STEPS);
            later += now > kept;
            kept = now;
        }
        hds_head *resumed = finish(start(&p));
        assert_same_head(whole, resumed);
        hds_head_unref(resumed);
    }
    print_message("%d kills, %d of them after a new checkpoint\n", RUN_KILLS, later);
    assert_in_range(later, RUN_KILLS / 5, RUN_KILLS - 1);
    hds_head *again = finish(start(&p)); /* it has nothing to do */
    assert_same_head(whole, again);
    hds_head_unref(again);
    hds_head_unref(whole);
    hds_free(path);
}

/* Saves one head over the other for ever, in the child of a fork; a byte for each. */
static void save_in_turn(hds_head *const heads[2], const char *path, int out)
{
    hds_error error = { 0 };
    for (int i = 1;; i = !i)
        if (hds_head_save(heads[i], path, &error) != HDS_OK || write(out, ".", 1) != 1)
            _exit(1);
}

static bool is_same_head(const hds_head *a, const hds_head *b)
{
    hds_head_info x, y;
    hds_head_get_info(a, &x);
    hds_head_get_info(b, &y);
    return !memcmp(x.shape, y.shape, TOY_SHAPES * sizeof(float)) &&
           !memcmp(x.texture, y.texture, TOY_TEXTURE * TOY_TEXTURE * 3) &&
           x.history_count == y.history_count;
}

static void killed_saves_leave_one_head_or_the_other(void **state)
{
    const toy *t = *state;
    char *path = toy_file(t, "killed.headsds"), byte;
    hds_generate_params p = toy_params(t, 1);
    hds_head *heads[2], *found;
    hds_error error = { 0 };
    rng r = rng_make(SEED, 1);
    int met[2] = { 0 };
    for (int i = 0; i < 2; i++, p.seed++)
        heads[i] = finish(start(&p));
    toy_ok(hds_head_save(heads[0], path, &error), &error);
    for (int kills = 0; kills < SAVE_KILLS; kills++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t process = fork();
        assert_true(process >= 0);
        if (!process)
            save_in_turn(heads, path, ends[1]);
        assert_int_equal(read(ends[0], &byte, 1), 1);
        kill_it(process, &r, 10000);
        close(ends[0]);
        close(ends[1]);
        toy_ok(hds_head_load(&found, path, t->model, &error), &error);
        int which = is_same_head(found, heads[1]);
        assert_true(is_same_head(found, heads[which]));
        met[which]++;
        hds_head_unref(found);
    }
    assert_true(met[0] && met[1]);
    for (int i = 0; i < 2; i++)
        hds_head_unref(heads[i]);
    hds_free(path);
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_grows_to_the_total),
        cmocka_unit_test(cancel_leaves_a_head_and_a_checkpoint),
        cmocka_unit_test(a_job_can_go_at_any_time),
        cmocka_unit_test(two_jobs_share_a_prior),
        cmocka_unit_test(jobs_that_cannot_be_are_refused),
        cmocka_unit_test(a_job_fails_before_its_first_step),
        cmocka_unit_test(killed_runs_continue_to_the_same_bytes),
        cmocka_unit_test(killed_saves_leave_one_head_or_the_other),
    };
    if (count == 6)
        return child(arguments + 2);
    self = arguments[0];
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}
