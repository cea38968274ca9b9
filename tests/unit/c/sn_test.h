/* SPDX-License-Identifier: Apache-2.0
 *
 * A test program: SN_TEST(behaviour) { ... } as often as needed, then SN_TEST_MAIN(). CHECK* report and go on, REQUIRE ends
 * the test. Arguments select tests whose name contains one of them. Exit status 1 if something failed.
 */
#ifndef SN_TEST_H
#define SN_TEST_H

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

struct sn_test {
	const char *name;
	void (*run)(void);
	struct sn_test *next;
};
struct sn_test_state {
	struct sn_test *first, **tail;
	unsigned failures; /* of the running test */
	jmp_buf stop;
};

static struct sn_test_state sn_test_state;

static inline void sn_test_add(struct sn_test *t)
{
	if (!sn_test_state.tail)
		sn_test_state.tail = &sn_test_state.first;
	*sn_test_state.tail = t;
	sn_test_state.tail = &t->next;
}

static inline void sn_test_fail(const char *file, int line, const char *what)
{
	sn_test_state.failures++;
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
}

#define SN_TEST(id)                                                                                     \
	static void sn_test_run_##id(void);                                                             \
	static struct sn_test sn_test_##id = {#id, sn_test_run_##id, NULL};                             \
	__attribute__((constructor)) static void sn_test_add_##id(void) { sn_test_add(&sn_test_##id); } \
	static void sn_test_run_##id(void)

#define CHECK(x)                                                                    \
	do {                                                                        \
		if (!(x))                                                           \
			sn_test_fail(__FILE__, __LINE__, "CHECK(" #x ") is false"); \
	} while (0)

#define REQUIRE(x)                                                                    \
	do {                                                                          \
		if (!(x)) {                                                           \
			sn_test_fail(__FILE__, __LINE__, "REQUIRE(" #x ") is false"); \
			longjmp(sn_test_state.stop, 1);                               \
		}                                                                     \
	} while (0)

/* Integers of any type. */
#define CHECK_EQ(a, b)                                                                                    \
	do {                                                                                              \
		long long sn_test_a = (long long)(a), sn_test_b = (long long)(b);                         \
		if (sn_test_a != sn_test_b) {                                                             \
			sn_test_fail(__FILE__, __LINE__, "CHECK_EQ(" #a ", " #b ")");                     \
			fprintf(stderr, "\tleft  %lld (0x%llx)\n\tright %lld (0x%llx)\n", sn_test_a,      \
				(unsigned long long)sn_test_a, sn_test_b, (unsigned long long)sn_test_b); \
		}                                                                                         \
	} while (0)

#define CHECK_STR(a, b)                                                                            \
	do {                                                                                       \
		const char *sn_test_a = (a), *sn_test_b = (b);                                     \
		if (strcmp(sn_test_a, sn_test_b) != 0) {                                           \
			sn_test_fail(__FILE__, __LINE__, "CHECK_STR(" #a ", " #b ")");             \
			fprintf(stderr, "\tleft  \"%s\"\n\tright \"%s\"\n", sn_test_a, sn_test_b); \
		}                                                                                  \
	} while (0)

#define CHECK_MEM(a, b, n)                                                                          \
	do {                                                                                        \
		const unsigned char *sn_test_a = (const void *)(a), *sn_test_b = (const void *)(b); \
		size_t sn_test_n = (n), sn_test_i = 0;                                              \
		while (sn_test_i < sn_test_n && sn_test_a[sn_test_i] == sn_test_b[sn_test_i])       \
			sn_test_i++;                                                                \
		if (sn_test_i < sn_test_n) {                                                        \
			sn_test_fail(__FILE__, __LINE__, "CHECK_MEM(" #a ", " #b ", " #n ")");      \
			fprintf(stderr, "\tfirst difference at byte %zu: %02x, %02x\n", sn_test_i,  \
				sn_test_a[sn_test_i], sn_test_b[sn_test_i]);                        \
		}                                                                                   \
	} while (0)

/* Alone in a function: no local of the caller lives across the setjmp. */
static __attribute__((noinline)) void sn_test_run(struct sn_test *t)
{
	if (!setjmp(sn_test_state.stop))
		t->run();
}

static inline int sn_test_main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0;

	for (struct sn_test *t = sn_test_state.first; t; t = t->next) {
		int wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= strstr(t->name, argv[i]) != NULL;
		if (!wanted)
			continue;
		sn_test_state.failures = 0;
		sn_test_run(t);
		if (sn_test_state.failures)
			failed++;
		else
			passed++;
		printf("%s %s\n", sn_test_state.failures ? "FAIL" : "ok  ", t->name);
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}

#define SN_TEST_MAIN() \
	int main(int argc, char **argv) { return sn_test_main(argc, argv); }

#endif
