/*
 * Groups for handover.pml: Wk_n is the weight of honest node n in epoch e+k, FAULTYk that of the faulty.
 * Faulty weight is below 1/3 in each. SORT keeps nodes that are alike in order.
 */
#if defined(GROUP_SAME) /* the link changes nothing: 1/4 faulty */
#define HONEST 3
#define W0_0 1
#define W0_1 1
#define W0_2 1
#define FAULTY0 1
#define W1_0 1
#define W1_1 1
#define W1_2 1
#define FAULTY1 1
#define SORT sort(0, 1); sort(1, 2); sort(0, 1)
#elif defined(GROUP_MOVED) /* half of one peer's weight goes to another, and some to the faulty: 3/10 in each */
#define HONEST 3
#define W0_0 3
#define W0_1 2
#define W0_2 2
#define FAULTY0 3
#define W1_0 1
#define W1_1 2
#define W1_2 4
#define FAULTY1 3
#define SORT skip
#elif defined(GROUP_DRIFT) /* one hundredth of the weight moves: 33/100 faulty */
#define HONEST 3
#define W0_0 34
#define W0_1 32
#define W0_2 1
#define FAULTY0 33
#define W1_0 33
#define W1_1 33
#define W1_2 1
#define FAULTY1 33
#define SORT skip
#elif defined(GROUP_SWAPPED) /* two of three honest peers leave, a new one gets what they had: 1/4 faulty */
#define HONEST 4
#define W0_0 1
#define W0_1 1
#define W0_2 1
#define W0_3 0
#define FAULTY0 1
#define W1_0 0
#define W1_1 0
#define W1_2 1
#define W1_3 2
#define FAULTY1 1
#define SORT sort(0, 1)
#elif defined(GROUP_REPLACED) /* nobody honest stays: 1/4 faulty, the same peer */
#define HONEST 6
#define W0_0 1
#define W0_1 1
#define W0_2 1
#define W0_3 0
#define W0_4 0
#define W0_5 0
#define FAULTY0 1
#define W1_0 0
#define W1_1 0
#define W1_2 0
#define W1_3 1
#define W1_4 1
#define W1_5 1
#define FAULTY1 1
#define SORT sort(0, 1); sort(1, 2); sort(0, 1); sort(3, 4); sort(4, 5); sort(3, 4)
#elif defined(GROUP_THREE) /* three epochs: most of the honest weight moves on at each link, 1/4 faulty */
#define HONEST 4
#define W0_0 2
#define W0_1 1
#define W0_2 0
#define W0_3 0
#define FAULTY0 1
#define W1_0 0
#define W1_1 2
#define W1_2 1
#define W1_3 0
#define FAULTY1 1
#define W2_0 0
#define W2_1 0
#define W2_2 1
#define W2_3 2
#define FAULTY2 1
#define SORT skip
#else
#error "which group?"
#endif

/* SUM(k, X, t, b): the weight in epoch e+k of the honest nodes n for which X(n, t, b) holds. */
#define TERM(k, n, X, t, b) W##k##_##n*(X(n, t, b) != 0)
#define SUM3(k, X, t, b) (TERM(k, 0, X, t, b) + TERM(k, 1, X, t, b) + TERM(k, 2, X, t, b))
#if HONEST == 3
#define SUM SUM3
#define TOTAL0 (W0_0 + W0_1 + W0_2 + FAULTY0)
#define TOTAL1 (W1_0 + W1_1 + W1_2 + FAULTY1)
#elif HONEST == 4
#define SUM(k, X, t, b) (SUM3(k, X, t, b) + TERM(k, 3, X, t, b))
#define TOTAL0 (W0_0 + W0_1 + W0_2 + W0_3 + FAULTY0)
#define TOTAL1 (W1_0 + W1_1 + W1_2 + W1_3 + FAULTY1)
#define TOTAL2 (W2_0 + W2_1 + W2_2 + W2_3 + FAULTY2)
#else
#define SUM(k, X, t, b) (SUM3(k, X, t, b) + TERM(k, 3, X, t, b) + TERM(k, 4, X, t, b) + TERM(k, 5, X, t, b))
#define TOTAL0 (W0_0 + W0_1 + W0_2 + W0_3 + W0_4 + W0_5 + FAULTY0)
#define TOTAL1 (W1_0 + W1_1 + W1_2 + W1_3 + W1_4 + W1_5 + FAULTY1)
#endif
