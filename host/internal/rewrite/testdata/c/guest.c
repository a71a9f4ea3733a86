// A guest in C: sorting, hashing, lists, recursion and floats. Each export takes a number and answers one.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))

static uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 1099511628211u; }

static int compare(const void *a, const void *b) {
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

EXPORT("sort") uint64_t sort(uint32_t n) {
	int32_t *v = malloc((n + 1) * sizeof *v);
	uint32_t x = n;
	for (uint32_t i = 0; i < n; i++) v[i] = (int32_t)(x = x * 1664525 + 1013904223);
	qsort(v, n, sizeof *v, compare);
	uint64_t h = 0;
	for (uint32_t i = 0; i < n; i++) h = mix(h, (uint32_t)v[i]);
	free(v);
	return h;
}

EXPORT("hash") uint64_t hash(uint32_t n) {
	uint8_t *block = malloc(n + 1), *copy = malloc(n + 1);
	memset(block, 0x5a, n);
	for (uint32_t i = 0; i < n; i += 7) block[i] = (uint8_t)i;
	memcpy(copy, block, n);
	memmove(copy + n / 2, copy, n / 2);
	uint64_t h = 14695981039346656037u;
	for (uint32_t i = 0; i < n; i++) h = mix(h, copy[i]);
	free(block);
	free(copy);
	return h;
}

struct node {
	struct node *next;
	char name[24];
	int64_t value;
};

EXPORT("list") uint64_t list(uint32_t n) {
	struct node *head = NULL;
	for (uint32_t i = 0; i < n; i++) {
		struct node *new = malloc(sizeof *new);
		new->next = head;
		new->value = (int64_t)i * i - 1000;
		snprintf(new->name, sizeof new->name, "node %u of %u", i, n);
		head = new;
	}
	uint64_t h = 0;
	while (head) {
		for (const char *c = head->name; *c; c++) h = mix(h, (uint64_t)*c);
		h = mix(h, (uint64_t)head->value);
		struct node *next = head->next;
		free(head);
		head = next;
	}
	return h;
}

static uint32_t ackermann(uint32_t m, uint32_t n) {
	return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

EXPORT("recursion") uint64_t recursion(uint32_t n) { return ackermann(2, n); }

EXPORT("floats") uint64_t floats(uint32_t n) {
	double sum = 0;
	for (uint32_t i = 1; i <= n; i++) sum += sin(i) / i + sqrt(i) * exp(-(double)i / n);
	float f = (float)sum;
	uint64_t h;
	memcpy(&h, &sum, sizeof h);
	return mix(h, (uint64_t)(int64_t)(f * 1000));
}

static uint64_t add(uint64_t a, uint64_t b) { return a + b; }
static uint64_t xor(uint64_t a, uint64_t b) { return a ^ b; }
static uint64_t mul(uint64_t a, uint64_t b) { return a * (b | 1); }

EXPORT("indirect") uint64_t indirect(uint32_t n) {
	uint64_t (*volatile operations[])(uint64_t, uint64_t) = {add, xor, mul, mix};
	uint64_t h = n;
	for (uint32_t i = 0; i < n; i++) h = operations[(h >> 7) % 4](h, i);
	return h;
}
