/* SPDX-License-Identifier: Apache-2.0 */
/* Pickles of every protocol are read to the same values, and hostile ones refused by place. The
 * files are made by ../fuzz/corpus/make_corpus.py. */
#include "scratch.h"

static const char *const flame_globals[] = { "chumpy.ch.Ch", "scipy.sparse.csc.csc_matrix", NULL };

static void open_kept(io_pickle *pickle, const char *format, int protocol)
{
    char path[512], name[64];
    hds_error error = { 0 };
    snprintf(name, sizeof name, format, protocol);
    snprintf(path, sizeof path, "%s/%s", CORPUS "/pickle", name);
    check_ok(io_pickle_open(pickle, path, flame_globals, &error), &error);
}

static void check_integer(const io_value *value, int64_t expected)
{
    int64_t number;
    assert_true(io_value_integer(value, &number));
    assert_true(number == expected);
}

static void check_bytes(const io_value *value, io_value_kind kind, const char *bytes, size_t size)
{
    assert_non_null(value);
    assert_int_equal(value->kind, kind);
    assert_int_equal(value->count, size);
    assert_memory_equal(value->bytes, bytes, size);
}

static void check_items(const io_value *value, io_value_kind kind, size_t count)
{
    assert_non_null(value);
    assert_int_equal(value->kind, kind);
    assert_int_equal(value->count, count);
}

static void test_plain(void **state)
{
    for (int protocol = 0; protocol <= 5; protocol++) {
        io_pickle pickle;
        open_kept(&pickle, "plain_%d.pkl", protocol);
        const io_value *root = pickle.root;
        assert_int_equal(pickle.used, pickle.map.size);
        check_items(root, IO_VALUE_DICT, 2 * 20);
        assert_int_equal(io_value_get(root, "none")->kind, IO_VALUE_NONE);
        const io_value *yes = io_value_get(root, "true"), *no = io_value_get(root, "false");
        assert_true(yes->kind == IO_VALUE_BOOL && yes->truth);
        assert_true(no->kind == IO_VALUE_BOOL && !no->truth);
        check_integer(io_value_get(root, "zero"), 0);
        check_integer(io_value_get(root, "byte"), 200);
        check_integer(io_value_get(root, "short"), -40000);
        check_integer(io_value_get(root, "wide"), -(1ll << 40));
        check_integer(io_value_get(root, "least"), INT64_MIN);
        assert_int_equal(io_value_get(root, "big")->kind, IO_VALUE_BIG);
        assert_int_equal(io_value_get(root, "big")->count, protocol < 2 ? 25 : 11);
        assert_true(io_value_get(root, "real")->kind == IO_VALUE_REAL);
        assert_true(io_value_get(root, "real")->real == -0.1);
        check_bytes(io_value_get(root, "bytes"), IO_VALUE_BYTES, "\0\xff\n", 3);
        check_bytes(io_value_get(root, "text"), IO_VALUE_TEXT,
                    "h\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\n\\", 12);
        const io_value *list = io_value_get(root, "list");
        check_items(list, IO_VALUE_LIST, 2);
        check_integer(list->items[0], 1);
        check_items(list->items[1], IO_VALUE_LIST, 2);
        check_items(list->items[1]->items[1], IO_VALUE_LIST, 0);
        const io_value *tuples = io_value_get(root, "tuples");
        check_items(tuples, IO_VALUE_TUPLE, 5);
        for (size_t i = 0; i < 5; i++) {
            check_items(tuples->items[i], IO_VALUE_TUPLE, i);
            for (size_t j = 0; j < i; j++)
                check_integer(tuples->items[i]->items[j], (int64_t)j + 1);
        }
        check_items(io_value_get(root, "set"), IO_VALUE_LIST, 1);
        check_items(io_value_get(root, "frozen"), IO_VALUE_TUPLE, 1);
        const io_value *shared = io_value_get(root, "shared");
        check_items(shared, IO_VALUE_TUPLE, 2);
        assert_ptr_equal(shared->items[0], shared->items[1]);
        check_bytes(io_value_get(root, "array"), IO_VALUE_BYTES, "ab", 2);
        const io_value *ordered = io_value_get(root, "ordered");
        check_items(ordered, IO_VALUE_DICT, 4);
        check_integer(io_value_get(ordered, "b"), 2);
        assert_int_equal(io_value_get(root, "long bytes")->count, 300);
        assert_null(io_value_get(root, "absent"));
        assert_null(io_value_get(list, "true"));
        io_pickle_close(&pickle);
    }
}

/* An array of these bytes; `value` may be an object with the array in its x. */
static void check_array(const io_value *value, char kind, int itemsize, int dims,
                        const int64_t *shape, const void *data)
{
    io_array array;
    hds_error error = { 0 };
    if (io_value_is_of(value, "chumpy.ch.Ch"))
        value = io_value_get(value, "x");
    check_ok(io_value_array(&array, value, "here", &error), &error);
    assert_true(array.kind == kind && array.itemsize == itemsize && array.dims == dims);
    assert_memory_equal(array.shape, shape, sizeof *shape * (size_t)dims);
    assert_memory_equal(array.data, data, array.size);
    hds_free(array.data);
}

static void check_flame(const io_value *root)
{
    double vertices[12], shapes[24];
    for (int i = 0; i < 24; i++) {
        vertices[i % 12] = i % 12 / 8.0;
        shapes[i] = i; /* kept in Fortran's order in the file */
    }
    check_array(io_value_get(root, "v_template"), 'f', 8, 2, (int64_t[]){ 4, 3 }, vertices);
    check_array(io_value_get(root, "shapedirs"), 'f', 8, 3, (int64_t[]){ 4, 3, 2 }, shapes);
    check_array(io_value_get(root, "f"), 'u', 4, 2, (int64_t[]){ 2, 3 },
                (uint32_t[]){ 0, 1, 2, 0, 2, 3 });
    check_array(io_value_get(root, "kintree_table"), 'i', 8, 2, (int64_t[]){ 2, 2 },
                (int64_t[]){ -1, 0, 0, 1 });
    check_array(io_value_get(root, "threshold"), 'f', 8, 0, NULL, &(double){ .25 });
    assert_true(io_value_is(io_value_get(root, "bs_style"), "lbs"));
    const io_value *joints = io_value_get(root, "J_regressor");
    assert_true(io_value_is_of(joints, "scipy.sparse.csc.csc_matrix"));
    assert_false(io_value_is_of(joints, "chumpy.ch.Ch"));
    check_integer(io_value_get(joints, "_shape")->items[1], 4);
    check_array(io_value_get(joints, "data"), 'f', 8, 1, (int64_t[]){ 3 }, (double[]){ .5, .5, 1 });
    check_array(io_value_get(joints, "indices"), 'i', 4, 1, (int64_t[]){ 3 },
                (int32_t[]){ 0, 1, 1 });
    check_array(io_value_get(joints, "indptr"), 'i', 4, 1, (int64_t[]){ 5 },
                (int32_t[]){ 0, 1, 2, 3, 3 });
}

static void test_flame(void **state)
{
    static const char *const names[] = { "flame_python2_%d.pkl", "flame_python2_%d.pkl",
                                         "flame_python3_%d.pkl", "flame_python3_%d.pkl",
                                         "flame_python3_%d.pkl" };
    static const int protocols[] = { 0, 2, 2, 4, 5 };
    for (int i = 0; i < 5; i++) {
        io_pickle pickle;
        open_kept(&pickle, names[i], protocols[i]);
        check_flame(pickle.root);
        io_pickle_close(&pickle);
    }
}

static hds_status parse(io_pickle *pickle, const void *bytes, size_t size, hds_error *error)
{
    static const char *const globals[] = { "m.C", NULL };
    *error = (hds_error){ 0 };
    return io_pickle_parse(pickle, bytes, size, globals, "a.pkl", error);
}

#define TEXT(literal) literal, sizeof literal - 1

/* What Python's own pickler writes rarely or no more. */
static void test_rare_opcodes(void **state)
{
    io_pickle pickle;
    hds_error error;
    check_ok(parse(&pickle, TEXT("(K\1im\nC\n(dp3\nS'k'\nK\2sb."), &error), &error);
    assert_true(io_value_is_of(pickle.root, "m.C"));
    check_items(pickle.root->arguments, IO_VALUE_TUPLE, 1);
    check_integer(io_value_get(pickle.root, "k"), 2);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle, TEXT("(cm\nC\nK\1K\2o."), &error), &error);
    check_items(pickle.root->arguments, IO_VALUE_TUPLE, 2);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle, TEXT("cm\nC\n)}\x92."), &error), &error);
    check_items(pickle.root->arguments, IO_VALUE_TUPLE, 0);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle, TEXT("cm\nC\n)\x81(K\1K\2eK\3a."), &error), &error);
    check_items(pickle.root, IO_VALUE_OBJECT, 3);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle, TEXT("(Pone\nK\7Qt."), &error), &error);
    check_items(pickle.persistent, IO_VALUE_LIST, 2);
    assert_true(io_value_is(pickle.root->items[0]->arguments, "one"));
    check_integer(pickle.persistent->items[1]->arguments, 7);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle,
                   TEXT("K\1(0(K\2K\3"
                        "10K\4"
                        "20."),
                   &error),
             &error);
    check_integer(pickle.root, 4);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle, TEXT("K\1r\3\0\0\0q\0020g3\nh\2j\3\0\0\0\x87."), &error), &error);
    check_items(pickle.root, IO_VALUE_TUPLE, 3);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle, TEXT("S'\\x41\\t\\\\\\'\"'\nV\\u4e2d\xe9\nF-1e3\n\x87.rest"), &error),
             &error);
    check_bytes(pickle.root->items[0], IO_VALUE_BYTES, "A\t\\'\"", 5);
    check_bytes(pickle.root->items[1], IO_VALUE_TEXT, "\xe4\xb8\xad\xc3\xa9", 5);
    assert_true(pickle.root->items[2]->real == -1000);
    assert_int_equal(pickle.used, sizeof "S'\\x41\\t\\\\\\'\"'\nV\\u4e2d\xe9\nF-1e3\n\x87." - 1);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle, TEXT("\x8a\0\x8a\1\xff\x8b\2\0\0\0\0\1\x87."), &error), &error);
    check_integer(pickle.root->items[0], 0);
    check_integer(pickle.root->items[1], -1);
    check_integer(pickle.root->items[2], 256);
    io_pickle_close(&pickle);
    check_ok(parse(&pickle, TEXT("]q\0h\0a."), &error), &error); /* holds itself */
    assert_ptr_equal(pickle.root->items[0], pickle.root);
    io_pickle_close(&pickle);
}

static void test_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        { TEXT(""), "ends after 0 bytes" },
        { TEXT("N"), "ends after 1 bytes without an end mark" },
        { TEXT("cos\nsystem\n."), "byte 0: asks for os.system, which is not among" },
        { TEXT("(ios\nsystem\n."), "asks for os.system" },
        { TEXT("\x8c\5posix\x8c\6system\x93."), "byte 15: asks for posix.system" },
        { TEXT("cm\nC\x1b[2J\n."), "asks for m.C?[2J" },
        { TEXT("cm.C\n\n."), "asks for m.C." },
        { TEXT("K\1K\2\x93."), "STACK_GLOBAL needs a module and a name" },
        { TEXT("\x82\1."), "byte 0: opcode 0x82" },
        { TEXT("\x97."), "byte 0: opcode 0x97" },
        { TEXT("\xff"), "opcode 0xff" },
        { TEXT("\x80\6N."), "PROTO says protocol 6, known are 0 to 5" },
        { TEXT("\x95\x09\0\0\0\0\0\0\0N."), "FRAME claims 9 bytes, 2 are left" },
        { TEXT("."), "STOP finds 0 values, needs 1" },
        { TEXT("NN."), "STOP finds 2 values" },
        { TEXT("(N."), "STOP" },
        { TEXT("0"), "POP finds 0 values" },
        { TEXT("1"), "POP_MARK finds no mark" },
        { TEXT("2"), "DUP finds 0" },
        { TEXT("N(2"), "DUP finds 0" },
        { TEXT("N\x86"), "TUPLE2 finds 1 values, needs 2" },
        { TEXT("Nt"), "TUPLE finds no mark" },
        { TEXT("(Nd"), "DICT finds a key without a value" },
        { TEXT("}(Nu"), "SETITEMS finds a key without a value" },
        { TEXT("](Nu"), "SETITEMS finds no dict" },
        { TEXT("}Na"), "APPEND finds no list" },
        { TEXT("K\1Na"), "APPEND finds no list" },
        { TEXT(")(Ne"), "APPENDS finds no list" },
        { TEXT("(Ne"), "APPENDS finds 0 values" },
        { TEXT("h\0"), "BINGET names memo entry 0, which is not there" },
        { TEXT("g-1\n"), "GET names memo entry 18446744073709551615, which cannot be" },
        { TEXT("gx\n"), "GET expects digits, finds \"x\"" },
        { TEXT("Nr\xff\xff\xff\x7f"), "LONG_BINPUT names memo entry 2147483647, which cannot be" },
        { TEXT("q\0"), "BINPUT finds 0 values" },
        { TEXT("\x94"), "MEMOIZE finds 0 values" },
        { TEXT("I"), "INT has no end of line" },
        { TEXT("I\n"), "INT expects digits" },
        { TEXT("I1.5\n"), "INT expects digits, finds \"1.5\"" },
        { TEXT("L-L\n"), "LONG expects digits" },
        { TEXT("F\n"), "FLOAT expects a number" },
        { TEXT("F1x\n"), "FLOAT expects a number, finds \"1x\"" },
        { TEXT("Sx\n"), "STRING expects a string in quotes" },
        { TEXT("S'\n"), "STRING expects a string in quotes" },
        { TEXT("S'a\"\n"), "STRING expects a string in quotes" },
        { TEXT("S'a'b'\n"), "STRING holds a string that is not" },
        { TEXT("S'\\q'\n"), "STRING holds a string that is not" },
        { TEXT("S'\\x4'\n"), "STRING holds a string that is not" },
        { TEXT("S'\\'\n"), "STRING holds a string that is not" },
        { TEXT("V\\ud800\n"), "UNICODE holds an escape that is no character" },
        { TEXT("V\\U00110000\n"), "UNICODE holds an escape" },
        { TEXT("V\\u12\n"), "UNICODE holds an escape" },
        { TEXT("X\2\0\0\0\xc3("), "BINUNICODE holds text that is not UTF-8" },
        { TEXT("X\1\0\0\0\xff"), "BINUNICODE holds text that is not UTF-8" },
        { TEXT("X\2\0\0\0\xc0\x80"), "not UTF-8" },
        { TEXT("X\3\0\0\0\xed\xa0\x80"), "not UTF-8" },
        { TEXT("T\xff\xff\xff\xff"), "BINSTRING claims 4294967295 bytes, 0 are left" },
        { TEXT("\x8e\xff\xff\xff\xff\xff\xff\xff\xff"), "BINBYTES8 claims 18446744073709551615" },
        { TEXT("\x8b\1"), "LONG4 is cut short" },
        { TEXT("G\0\0"), "BINFLOAT is cut short" },
        { TEXT("N)R"), "REDUCE makes an object of something else" },
        { TEXT("NNR"), "REDUCE makes an object of something else" },
        { TEXT("cm\nC\nNR"), "REDUCE makes an object of something else" },
        { TEXT("(o"), "OBJ finds 0 values, needs 1" },
        { TEXT("NNb"), "BUILD finds no object" },
        { TEXT("cm\nC\n)RNbNb"), "BUILD gives an object a second state" },
        { TEXT("c_codecs\nencode\n(X\3\0\0\0\xe4\xb8\xadX\6\0\0\0latin1tR"), "as latin1" },
        { TEXT("c_codecs\nencode\n(X\1\0\0\0aX\5\0\0\0rot13tR"), "makes bytes of something else" },
        { TEXT("c_codecs\nencode\n(K\1X\6\0\0\0latin1tR"), "makes bytes of something else" },
        { TEXT("c__builtin__\nset\n(NtR"), "makes a list, tuple or set of something else" },
        { TEXT("ccollections\nOrderedDict\n(NtR"), "makes a dict of something else" },
        { TEXT("ccollections\nOrderedDict\n((NltR"), "makes a dict of something else" },
        { TEXT("ccollections\nOrderedDict\n((U\2abltR"), "makes a dict of something else" },
        { TEXT("ccollections\nOrderedDict\n(((NlltR"), "makes a dict of something else" },
        { TEXT("ccopy_reg\n_reconstructor\n(NNNtR"), "copyreg._reconstructor without" },
        { TEXT("ccopy_reg\n_reconstructor\n)R"), "copyreg._reconstructor without" },
    };
    io_pickle pickle;
    hds_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hds_status status = parse(&pickle, cases[i].bytes, cases[i].size, &error);
        check_error(status, &error, HDS_ERROR_FORMAT, "a.pkl: ", cases[i].says);
        assert_true(!pickle.root && !pickle.memory.block);
    }
}

/* Each beginning of a pickle is refused, whatever it is cut in. */
static void test_cut_short(void **state)
{
    static const char *const names[] = { "plain_0.pkl", "plain_5.pkl", "flame_python2_2.pkl" };
    for (int i = 0; i < 3; i++) {
        io_map map;
        io_pickle pickle;
        hds_error error = { 0 };
        char path[512];
        snprintf(path, sizeof path, "%s/%s", CORPUS "/pickle", names[i]);
        check_ok(io_map_open(&map, path, &error), &error);
        for (size_t size = 0; size < map.size; size++) {
            char *part = malloc(size + 1); /* its end is watched by the sanitizer */
            assert_non_null(part);
            char *bytes = part + 1;
            memcpy(bytes, map.bytes, size);
            error = (hds_error){ 0 };
            hds_status status =
                io_pickle_parse(&pickle, bytes, size, flame_globals, "a.pkl", &error);
            check_error(status, &error, HDS_ERROR_FORMAT, "a.pkl: ", "");
            free(part);
        }
        io_map_close(&map);
    }
}

/* A long text, encoded again and again by four bytes each time. */
static void test_unfolding(void **state)
{
    static const char head[] = "c_codecs\nencode\nq\0(X", again[] = "h\0h\1R";
    enum { LONG = 1 << 20, TIMES = 200 };
    static char bytes[LONG + 100 + 5 * TIMES];
    size_t at = sizeof head - 1;
    memcpy(bytes, head, at);
    memcpy(bytes + at, "\0\0\x10\0", 4);
    memset(bytes + at + 4, 'a', LONG);
    at += 4 + LONG;
    memcpy(bytes + at, "X\6\0\0\0latin1tq\1", 14);
    at += 14;
    for (int i = 0; i < TIMES; i++, at += 5)
        memcpy(bytes + at, again, 5);
    io_pickle pickle;
    hds_error error;
    hds_status status = parse(&pickle, bytes, at, &error);
    check_error(status, &error, HDS_ERROR_FORMAT, "a.pkl: byte", "REDUCE unfolds to more memory");
    memset(bytes, '(', sizeof bytes); /* nesting is as deep as the file is long, and no matter */
    memset(bytes, ']', sizeof bytes / 2);
    status = parse(&pickle, bytes, sizeof bytes, &error);
    check_error(status, &error, HDS_ERROR_FORMAT, "a.pkl: ", "without an end mark");
}

#define ARRAY(shape, dtype, state, fortran, data)                                                  \
    "cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR(K\1" shape               \
    "cnumpy\ndtype\n(" dtype "K\0K\1tR(K\3" state "NNNtb" fortran data "tb."

static void test_arrays(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        { TEXT(ARRAY("(K\1t", "U\2O8", "U\1|", "\x89", "(Nl")), "Python objects" },
        { TEXT(ARRAY("(K\1t", "U\2f4", "U\1>", "\x89", "U\4abcd")), "big-endian" },
        { TEXT(ARRAY("(K\1t", "U\2c8", "U\1<", "\x89", "U\4abcd")), "dtype <c8" },
        { TEXT(ARRAY("(K\1t", "U\3>f4", "U\1<", "\x89", "U\4abcd")), "dtype >f4" },
        { TEXT(ARRAY("(K\1t", "U\0", "U\1<", "\x89", "U\4abcd")), "dtype <" },
        { TEXT(ARRAY("(K\1t", "K\1", "U\1<", "\x89", "U\4abcd")), "without a dtype" },
        { TEXT(ARRAY("(K\1t", "U\2V4", "U\1|U\1xU\1y", "\x89", "U\4abcd")), "record array" },
        { TEXT(ARRAY("(K\2t", "U\2f4", "U\1<", "\x89", "U\4abcd")), "4 bytes of data, its shape" },
        { TEXT(ARRAY("(K\1t", "U\2f4", "U\1<", "\x89", "N")), "0 bytes of data" },
        { TEXT(ARRAY("(K\1t", "U\2f4", "U\1<", "\x89", "X\4\0\0\0abcd")), "0 bytes of data" },
        { TEXT(ARRAY("(J\xff\xff\xff\xfft", "U\2f4", "U\1<", "\x89", "U\0")), "expected a shape" },
        { TEXT(ARRAY("N", "U\2f4", "U\1<", "\x89", "U\4abcd")), "expected a shape" },
        { TEXT(ARRAY("(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "U\2f4", "U\1<", "\x89", "U\4abcd")),
          "expected a shape of at most 8" },
        { TEXT(ARRAY("(\x8a\x08\0\0\0\0\0\0\0\x7f\x8a\x08\0\0\0\0\0\0\0\x7ft", "U\2f4", "U\1<",
                     "\x89", "U\0")),
          "promise more than" },
        { TEXT("cnumpy\nndarray\n."), "expected a NumPy array" },
        { TEXT("cnumpy.core.multiarray\n_reconstruct\n)R."), "expected a NumPy array" },
        { TEXT("cnumpy.core.multiarray\nscalar\n)R."), "expected a NumPy array" },
        { TEXT("cnumpy.core.multiarray\nscalar\n(NNtR."), "without a dtype" },
    };
    io_pickle pickle;
    io_array array;
    hds_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_ok(parse(&pickle, cases[i].bytes, cases[i].size, &error), &error);
        hds_status status = io_value_array(&array, pickle.root, "a.pkl: here", &error);
        check_error(status, &error, HDS_ERROR_FORMAT, "a.pkl: here", cases[i].says);
        assert_null(array.data);
        io_pickle_close(&pickle);
    }
    check_ok(parse(&pickle, TEXT(ARRAY("(K\1K\2t", "U\2i1", "U\1|", "\x88", "U\2ab")), &error),
             &error);
    check_array(pickle.root, 'i', 1, 2, (int64_t[]){ 1, 2 }, "ab");
    io_pickle_close(&pickle);
    hds_status status = io_value_array(&array, NULL, "a.pkl: here", &error);
    check_error(status, &error, HDS_ERROR_FORMAT, "a.pkl: here", "expected a NumPy array");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),        cmocka_unit_test(test_flame),
        cmocka_unit_test(test_rare_opcodes), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut_short),    cmocka_unit_test(test_unfolding),
        cmocka_unit_test(test_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
