/*
 * The hand-over: N1-N4 across links, each epoch with a group of its own. README.md says what is modelled and what
 * is not, and voting.pml why votes are plain sets and the faulty need no process.
 *
 * Two rivals A, B of one outpoint. A ballot is a round of an epoch; ballots are ordered by epoch, then round:
 *
 *   EPOCHS=2   B0 ballots of epoch e (1: its round 1; 2: its rounds 0, 1), then
 *              B1 ballots of epoch e+1 (1: its round 0; 2: its rounds 0, 2)
 *   EPOCHS=3   one ballot of each of the epochs e, e+1, e+2
 *
 * Macros:  EPOCHS, B0, B1, and GROUP_x, the weights (groups.h)
 * Mutations: NO_N1 NO_N2 NO_N3 NO_N4, NO_CLOSING (enter without statements), LATE_VOTES (vote in an epoch that one
 * has closed), OMIT_FINAL (statements leave out what is final there), FLAT_ROUNDS (rounds compared without their
 * epochs), NO_INHERITED (statements leave out inherited locks), CLOSE_ABSENT (close an epoch that one has not
 * entered), NO_ADOPTION (collect the statements, adopt nothing)
 */
#ifndef EPOCHS
#define EPOCHS 2
#endif
#include "groups.h"

#if EPOCHS == 2
#define BALLOTS (B0 + B1)
#define OF_E    ((1 << B0) - 1)              /* the ballots of epoch e, as a row */
#define OF_E1   (((1 << B1) - 1) << B0)
#else
#define BALLOTS 3
#define OF_E    1
#define OF_E1   2
#endif

/* Transactions 0=A, 1=B. A set of votes has bit tx*BALLOTS + ballot; ROW is the part of one transaction. */
#define ALL         ((1 << BALLOTS) - 1)
#define BIT(t, b)   (1 << ((t)*BALLOTS + (b)))
#define ROW(set, t) (((set) >> ((t)*BALLOTS)) & ALL)
#define BELOW(b)    ((1 << (b)) - 1)
#define HAS(set, t, b) (((set) >> ((t)*BALLOTS + (b))) & 1)
#define BOTH(row)   ((row) | (row) << BALLOTS)

/* stage of a node: */
#define CLOSED(k)  (1 << (2*(k)))     /* has published its closing statement of epoch e+k */
#define ENTERED(k) (1 << (2*(k) - 1)) /* has done the hand-over into epoch e+k, k > 0 */

short pending[HONEST];
short accepted[HONEST];
short inherited[HONEST]; /* locks adopted on entering epoch e+1 */
byte stage[HONEST];
#if EPOCHS == 3
short inherited2[HONEST]; /* locks adopted on entering epoch e+2 */
#define LOCKED(n) (accepted[n] | inherited[n] | inherited2[n])
#else
#define LOCKED(n) (accepted[n] | inherited[n])
#endif
#ifdef OMIT_FINAL
byte omitted[HONEST];    /* transactions that are final here, and therefore not in this node's statement */
#define OMITTED(n)  omitted[n]
#define STATED(n, set) ((set) & ~(((omitted[n] & 1) -> ALL : 0) | ((omitted[n] & 2) -> ALL << BALLOTS : 0)))
#else
#define OMITTED(n)  0
#define STATED(n, set) (set)
#endif
/* Derived: */
short certified;
byte final;

/* --- quorums: one epoch, one group; the faulty add their weight to everything --- */

#define QUORUM(k, w) (3*((w) + FAULTY##k) > 2*TOTAL##k)
#define FINAL_AT(k, t, b)     QUORUM(k, SUM(k, HAS_ACCEPTED, t, b))
#define CERTIFIED_AT(k, t, b) QUORUM(k, SUM(k, HAS_PENDING, t, b))
#define HAS_PENDING(n, t, b)  HAS(pending[n], t, b)
#define HAS_ACCEPTED(n, t, b) HAS(accepted[n], t, b)

/* --- N1-N4 --- */

#if defined(FLAT_ROUNDS) && B0 == 1
#define ORDER(row)  (((row) & 1) << 1 | (((row) >> 1) & 1) | (row) & 4)
#define NUMBER(b)   ((b) == 0 -> 1 : ((b) == 1 -> 0 : (b)))
#elif defined(FLAT_ROUNDS)
#define ORDER(row)  (((row) & 3) | (((row) >> 2) & 1) | (((row) >> 3) & 1) << 2)
#define NUMBER(b)   ((b) == 2 -> 0 : ((b) == 3 -> 2 : (b)))
#else
#define ORDER(row)  (row)
#define NUMBER(b)   (b)
#endif
#define RIVAL(set, t) ORDER(ROW(set, 1 - (t)))
#define RELEASED(t)   (final & (1 << (t)))
#define ABOVE(a, b)   (((a) & ~(b)) > (b))

#ifdef NO_N1
#define N1(votes, t, b) 1
#else
#define N1(votes, t, b) !((RIVAL(votes, t) >> NUMBER(b)) & 1)
#endif
#ifdef NO_N2
#define N2(t, b) 1
#else
#define N2(t, b) HAS(certified, t, b)
#endif
#define FREE(n, t, c) (RELEASED(t) || RIVAL(LOCKED(n), t) <= ORDER(ROW(LOCKED(n), t)) || ABOVE(c, RIVAL(LOCKED(n), t)))
#ifdef NO_N3
#define N3(n, t, b) 1
#else
#define N3(n, t, b) FREE(n, t, ORDER(ROW(certified, t)) & BELOW(NUMBER(b)))
#endif
#ifdef NO_N4
#define N4(n, t, b) 1
#else
#define N4(n, t, b) !(RIVAL(pending[n], t) >> (NUMBER(b) + 1))
#endif

/* Who may vote in which epoch. Who holds a transaction final never votes for its rival. */
#ifdef LATE_VOTES
#define LEFT(n, k) 0
#else
#define LEFT(n, k) (stage[n] & CLOSED(k))
#endif
#define MEMBER0(n) (W0_##n && !LEFT(n, 0))
#define MEMBER1(n) (W1_##n && (stage[n] & ENTERED(1)) && !LEFT(n, 1))
#define MEMBER2(n) (W2_##n && (stage[n] & ENTERED(2)))
#define MAY(k, n, t) (MEMBER##k(n) && !(OMITTED(n) & (2 - (t))))
/* As in voting.pml: one more PENDING where the certificate is there enables nothing. EVERY_VOTE leaves it in. */
#ifdef EVERY_VOTE
#define USEFUL(t, b) 1
#else
#define USEFUL(t, b) !HAS(certified, t, b)
#endif
#define MAY_PENDING(k, n, t, b)  (MAY(k, n, t) && !HAS(pending[n], t, b) && USEFUL(t, b) && N1(pending[n], t, b) && N3(n, t, b))
#define MAY_ACCEPTED(k, n, t, b) (MAY(k, n, t) && !HAS(accepted[n], t, b) && N1(accepted[n], t, b) && N2(t, b) && N4(n, t, b))

/* --- the hand-over --- */

/* What a node's statement says: every lock it holds. It changes no more once the epoch is closed. */
#define STATEMENT0(n) STATED(n, accepted[n] & BOTH(OF_E))
#ifdef NO_INHERITED
#define STATEMENT1(n) (accepted[n] & BOTH(OF_E1))
#else
#define STATEMENT1(n) (accepted[n] & BOTH(OF_E | OF_E1) | inherited[n])
#endif
#ifdef CLOSE_ABSENT
#define MAY_CLOSE1(n) (W1_##n && !(stage[n] & CLOSED(1)))
#else
#define MAY_CLOSE1(n) (W1_##n && (stage[n] & ENTERED(1)) && !(stage[n] & CLOSED(1)))
#endif
#define MAY_CLOSE0(n) (W0_##n && !(stage[n] & CLOSED(0)))

/* Can a collection of statements from a quorum of epoch e+k have (t, b) as its highest lock? Its honest members hold
 * nothing above; whoever is faulty shows any certificate, or none. EMPTY: a collection without any lock. */
#define QUIET0(n, t, b) ((stage[n] & CLOSED(0)) && !(STATEMENT0(n) & ~BOTH(BELOW((b) + 1))))
#define QUIET1(n, t, b) ((stage[n] & CLOSED(1)) && !(STATEMENT1(n) & ~BOTH(BELOW((b) + 1))))
#ifdef NO_CLOSING
#define HIGHEST(k, t, b) 0
#define EMPTY(k)         1
#define HAS_CLOSED(k, n) 1
#else
#define HIGHEST(k, t, b) (HAS(certified, t, b) && QUORUM(k, SUM(k, QUIET##k, t, b)))
#define EMPTY(k)         QUORUM(k, SUM(k, QUIET##k, 0, -1))
#define HAS_CLOSED(k, n) (!W##k##_##n || (stage[n] & CLOSED(k)))
#endif
#define MAY_ENTER1(n) (W1_##n && !(stage[n] & ENTERED(1)) && HAS_CLOSED(0, n))
#define MAY_ENTER2(n) (W2_##n && !(stage[n] & ENTERED(2)) && HAS_CLOSED(0, n) && HAS_CLOSED(1, n))

/* --- steps --- */

#ifdef OMIT_FINAL
#define SAME_OMITTED(i, j) (omitted[i] == omitted[j])
#define BEFORE_OMITTED(i, j) (omitted[i] <= omitted[j])
#else
#define SAME_OMITTED(i, j) 1
#define BEFORE_OMITTED(i, j) 1
#endif
#if EPOCHS == 3
#define KEY2(i) inherited2[i]
#else
#define KEY2(i) 0
#endif
#define BEFORE(i, j) \
	(pending[i] != pending[j] -> pending[i] < pending[j] : \
	(accepted[i] != accepted[j] -> accepted[i] < accepted[j] : \
	(inherited[i] != inherited[j] -> inherited[i] < inherited[j] : \
	(stage[i] != stage[j] -> stage[i] < stage[j] : \
	(KEY2(i) != KEY2(j) -> KEY2(i) < KEY2(j) : BEFORE_OMITTED(i, j))))))

/* Nodes with equal weights in every epoch are alike: keep them in order, so that permutations are one state. */
inline sort(i, j) {
	if
	:: BEFORE(i, j) -> skip
	:: else ->
		x = pending[i]; pending[i] = pending[j]; pending[j] = x;
		x = accepted[i]; accepted[i] = accepted[j]; accepted[j] = x;
		x = inherited[i]; inherited[i] = inherited[j]; inherited[j] = x;
		x = stage[i]; stage[i] = stage[j]; stage[j] = x;
#if EPOCHS == 3
		x = inherited2[i]; inherited2[i] = inherited2[j]; inherited2[j] = x;
#endif
#ifdef OMIT_FINAL
		x = omitted[i]; omitted[i] = omitted[j]; omitted[j] = x;
#endif
		x = 0
	fi
}

#define VOTE(n, t, b, k) \
	:: d_step { MAY_PENDING(k, n, t, b) -> \
		pending[n] = pending[n] | BIT(t, b); \
		certified = certified | (CERTIFIED_AT(k, t, b) -> BIT(t, b) : 0); \
		SORT } \
	:: d_step { MAY_ACCEPTED(k, n, t, b) -> \
		accepted[n] = accepted[n] | BIT(t, b); \
		final = final | (FINAL_AT(k, t, b) -> 1 << (t) : 0); \
		assert(final != 3); /* nothing final is ever undone, in its epoch or a later one */ \
		SORT }

#ifdef NO_ADOPTION
#define ADOPT(set, n, t, b) skip
#else
#define ADOPT(set, n, t, b) set[n] = set[n] | BIT(t, b)
#endif
#define CLOSE(k, n) :: d_step { MAY_CLOSE##k(n) -> stage[n] = stage[n] | CLOSED(k); SORT }
#define ENTER_EMPTY(k, n) :: d_step { MAY_ENTER##k(n) && EMPTY_BEFORE##k -> stage[n] = stage[n] | ENTERED(k); SORT }
#define EMPTY_BEFORE1 EMPTY(0)
#define EMPTY_BEFORE2 EMPTY(1)
#define ENTER1(n, t, b) \
	:: d_step { MAY_ENTER1(n) && HIGHEST(0, t, b) -> \
		stage[n] = stage[n] | ENTERED(1); ADOPT(inherited, n, t, b); SORT }
#define ENTER2(n, t, b) \
	:: d_step { MAY_ENTER2(n) && HIGHEST(1, t, b) -> \
		stage[n] = stage[n] | ENTERED(2); ADOPT(inherited2, n, t, b); SORT }
#ifdef OMIT_FINAL
#define CLOSE_OMITTING(n) \
	:: d_step { MAY_CLOSE0(n) && final -> stage[n] = stage[n] | CLOSED(0); omitted[n] = final; SORT }
#else
#define CLOSE_OMITTING(n)
#endif

#if EPOCHS == 2
#if B0 == 1
#define IN_E(n, t)       VOTE(n, t, 0, 0)
#define ADOPTING(n)      ENTER1(n, 0, 0) ENTER1(n, 1, 0)
#else
#define IN_E(n, t)       VOTE(n, t, 0, 0) VOTE(n, t, 1, 0)
#define ADOPTING(n)      ENTER1(n, 0, 0) ENTER1(n, 1, 0) ENTER1(n, 0, 1) ENTER1(n, 1, 1)
#endif
#if B1 == 1
#define IN_E1(n, t)      VOTE(n, t, B0, 1)
#else
#define IN_E1(n, t)      VOTE(n, t, B0, 1) VOTE(n, t, B0 + 1, 1)
#endif
#define NODE(n) \
	IN_E(n, 0) IN_E(n, 1) CLOSE(0, n) CLOSE_OMITTING(n) \
	ENTER_EMPTY(1, n) ADOPTING(n) IN_E1(n, 0) IN_E1(n, 1)
#else
#define NODE(n) \
	VOTE(n, 0, 0, 0) VOTE(n, 0, 1, 1) VOTE(n, 0, 2, 2) \
	VOTE(n, 1, 0, 0) VOTE(n, 1, 1, 1) VOTE(n, 1, 2, 2) \
	CLOSE(0, n) ENTER_EMPTY(1, n) ENTER1(n, 0, 0) ENTER1(n, 1, 0) \
	CLOSE(1, n) ENTER_EMPTY(2, n) ENTER2(n, 0, 0) ENTER2(n, 0, 1) ENTER2(n, 1, 0) ENTER2(n, 1, 1)
#endif

active proctype honest() {
	short x;
end:
	do
	NODE(0)
	NODE(1)
	NODE(2)
#if HONEST > 3
	NODE(3)
#endif
#if HONEST > 4
	NODE(4)
#endif
#if HONEST > 5
	NODE(5)
#endif
	od
}
