/*
 * The voting rules N1-N4 within one epoch: what honest nodes may sign, whatever they see and whenever, against
 * faulty nodes that sign everything and show it to anyone. README.md says what is modelled and what is not.
 *
 * Macros:  CHAIN       A={1,2}, B={2,3}, C={3,4}; otherwise two rivals A, B of one outpoint
 *          ROUNDS      rounds 0..ROUNDS-1                                          (4)
 *          HONEST      honest nodes of weight 1, 3 or 4                            (3)
 *          FAULTY      faulty weight                                               (1)
 *          ONLY_FINALS check no more than that rivals are never both final
 * Mutations: NO_N1 NO_N2 NO_N3 NO_N4, LATEST_LOCK, FIRST_LOCK, KEEP_LOCKS, AT_LEAST
 *
 * A vote stays cast, and a node may learn of it at any time or never. So no channel is needed: knowing more only
 * ever allows more votes, and a node that has not seen a vote yet is one that does not act on it yet. The state is
 * the set of honest votes; votes of the faulty are always there for whoever needs them.
 */
#ifndef ROUNDS
#define ROUNDS 4
#endif
#ifndef HONEST
#define HONEST 3
#endif
#ifndef FAULTY
#define FAULTY 1
#endif
#define TOTAL (HONEST + FAULTY)

/* Transactions 0=A, 1=B, 2=C. A set of votes has bit tx*ROUNDS + round; ROW is the part of one transaction. */
#define ALL         ((1 << ROUNDS) - 1)
#define BIT(t, r)   (1 << ((t)*ROUNDS + (r)))
#define ROW(set, t) (((set) >> ((t)*ROUNDS)) & ALL)
#define BELOW(r)    ((1 << (r)) - 1)

/* The votes of each honest node: PENDING in the lower half, ACCEPTED, which are its locks, in the upper. */
#define HALF 12
int votes[HONEST];
#define PENDING(n)  (votes[n] & ((1 << HALF) - 1))
#define ACCEPTED(n) (votes[n] >> HALF)
#if defined(LATEST_LOCK) || defined(FIRST_LOCK)
short held[HONEST]; /* the one ACCEPTED that holds under these mutations */
#endif
/* Derived from the above: */
short certified;        /* (tx, round) that a certificate can be shown for */
byte final;             /* transactions that an acceptance proof can be shown for */
byte proven;            /* those whose proof needs no faulty vote */

/* --- quorums: the faulty add their weight to everything --- */

#ifdef AT_LEAST
#define QUORUM(w) (3*(w) >= 2*TOTAL)
#else
#define QUORUM(w) (3*(w) > 2*TOTAL)
#endif
#define HAS(set, t, r) (((set) >> ((t)*ROUNDS + (r))) & 1)
#if HONEST == 3
#define COUNT(v, t, r) (HAS(v(0), t, r) + HAS(v(1), t, r) + HAS(v(2), t, r))
#define ACCEPTED_BY_ANY(t) ROW(ACCEPTED(0) | ACCEPTED(1) | ACCEPTED(2), t)
#else
#define COUNT(v, t, r) (HAS(v(0), t, r) + HAS(v(1), t, r) + HAS(v(2), t, r) + HAS(v(3), t, r))
#define ACCEPTED_BY_ANY(t) ROW(ACCEPTED(0) | ACCEPTED(1) | ACCEPTED(2) | ACCEPTED(3), t)
#endif

/* --- who is a rival of whom --- */

#ifdef CHAIN
#define RIVAL_ROWS(set, t) ((t) == 1 -> (ROW(set, 0) | ROW(set, 2)) : ROW(set, 1))
#define RIVALS(t)          ((t) == 1 -> 5 : 2)
#define ANY_RIVAL(f)       (((f) & 2) && ((f) & 5))
#else
#define RIVAL_ROWS(set, t) ROW(set, 1 - (t))
#define RIVALS(t)          ((t) == 1 -> 1 : 2)
#define ANY_RIVAL(f)       ((f) == 3)
#endif

#ifdef KEEP_LOCKS
#define RELEASED(u, f) 0
#else
#define RELEASED(u, f) (RIVALS(u) & (f))
#endif

/* --- the rules --- */

#ifdef NO_N1
#define N1(votes, t, r) 1
#else
#define N1(votes, t, r) !((RIVAL_ROWS(votes, t) >> (r)) & 1)
#endif

#ifdef NO_N2
#define N2(t, r) 1
#else
#define N2(t, r) HAS(certified, t, r)
#endif

/* Does rival u's lock let node n vote for t, by certificates for t in the rounds c? Two transactions share at most
 * one outpoint, which no third one spends, so its lock is the higher of their two rows. (a & ~b) > b says that
 * the highest round of a is above that of b. */
#if defined(LATEST_LOCK) || defined(FIRST_LOCK)
#define LOCKS(n, u) ROW(held[n], u)
#else
#define LOCKS(n, u) ROW(ACCEPTED(n), u)
#endif
#define ABOVE(a, b)            (((a) & ~(b)) > (b))
#define UNLOCKED(n, t, u, c, f) \
	(RELEASED(u, f) || LOCKS(n, u) <= LOCKS(n, t) || ABOVE(c, LOCKS(n, u)))
#ifdef CHAIN
#define FREE(n, t, c, f) \
	((t) == 1 -> (UNLOCKED(n, 1, 0, c, f) && UNLOCKED(n, 1, 2, c, f)) : UNLOCKED(n, t, 1, c, f))
#else
#define FREE(n, t, c, f) UNLOCKED(n, t, 1 - (t), c, f)
#endif

#ifdef NO_N3
#define N3(n, t, r) 1
#else
#define N3(n, t, r) FREE(n, t, ROW(certified, t) & BELOW(r), final)
#endif

#ifdef NO_N4
#define N4(n, t, r) 1
#else
#define N4(n, t, r) !(RIVAL_ROWS(PENDING(n), t) >> ((r) + 1))
#endif

/* A PENDING serves nothing but a certificate, and binds its voter. Where the certificate is there already, or too
 * few can still vote for it by N1, the same ACCEPTED can be reached without that vote, so it is left out; and so is
 * a vote that would do this to one cast earlier. EVERY_VOTE leaves all of them in. */
#if defined(EVERY_VOTE) || defined(NO_N1)
#define USEFUL(n, t, r) 1
#else
#define COULD(m, u, r) !((RIVAL_ROWS(PENDING(m), u) >> (r)) & 1)
#if HONEST == 3
#define COULD_VOTE(u, r) (COULD(0, u, r) + COULD(1, u, r) + COULD(2, u, r))
#else
#define COULD_VOTE(u, r) (COULD(0, u, r) + COULD(1, u, r) + COULD(2, u, r) + COULD(3, u, r))
#endif
#define SPOILS(n, u, r) \
	(COUNT(PENDING, u, r) > 0 && !HAS(certified, u, r) && !QUORUM(COULD_VOTE(u, r) - COULD(n, u, r) + FAULTY))
#ifdef CHAIN
#define SPARES(n, t, r) ((t) == 1 -> (!SPOILS(n, 0, r) && !SPOILS(n, 2, r)) : !SPOILS(n, 1, r))
#else
#define SPARES(n, t, r) !SPOILS(n, 1 - (t), r)
#endif
#define USEFUL(n, t, r) (!HAS(certified, t, r) && QUORUM(COULD_VOTE(t, r) + FAULTY) && SPARES(n, t, r))
#endif

#define MAY_PENDING(n, t, r) \
	(!HAS(PENDING(n), t, r) && N1(PENDING(n), t, r) && USEFUL(n, t, r) && N3(n, t, r))
#define MAY_ACCEPTED(n, t, r) \
	(!HAS(ACCEPTED(n), t, r) && N2(t, r) && N1(ACCEPTED(n), t, r) && N4(n, t, r))

/* --- what must hold --- */

/* Nothing is stuck: as long as anything is undecided, some undecided transaction could be voted for by every honest
 * node in a fresh round, with no help of the faulty: each lock in the way has a certificate above it that an
 * honest node accepted and serves. All vote, all accept, it is final; and so on until all is decided. f are the
 * transactions known to be final. */
#define UNDECIDED(t, f) (!((f) & (1 << (t))) && !(RIVALS(t) & (f)))
#if HONEST == 3
#define ALL_FREE(t, f) \
	(FREE(0, t, ACCEPTED_BY_ANY(t), f) && FREE(1, t, ACCEPTED_BY_ANY(t), f) && FREE(2, t, ACCEPTED_BY_ANY(t), f))
#else
#define ALL_FREE(t, f) \
	(FREE(0, t, ACCEPTED_BY_ANY(t), f) && FREE(1, t, ACCEPTED_BY_ANY(t), f) && \
	 FREE(2, t, ACCEPTED_BY_ANY(t), f) && FREE(3, t, ACCEPTED_BY_ANY(t), f))
#endif
#define OPEN(t, f) (UNDECIDED(t, f) && ALL_FREE(t, f))
#ifdef CHAIN
#define DECIDED(f)  (((f) & 2) || ((f) & 5) == 5)
#define STUCK(f)    (!DECIDED(f) && !OPEN(0, f) && !OPEN(1, f) && !OPEN(2, f))
#else
#define DECIDED(f)  ((f) != 0)
#define STUCK(f)    (!DECIDED(f) && !OPEN(0, f) && !OPEN(1, f))
#endif

/* --- steps --- */

/* Honest nodes are alike, and so are A and B (in the chain, A and C): of all states that differ only in who is who,
 * one stands for all. */
#define SORT(v, i, j) \
	if \
	:: v[i] <= v[j] -> skip \
	:: else -> x = v[i]; v[i] = v[j]; v[j] = x \
	fi
#if HONEST == 3
#define ORDER(v) SORT(v, 0, 1); SORT(v, 1, 2); SORT(v, 0, 1)
#define EACH(f)  f(0); f(1); f(2)
#define LESS(v, w) \
	(v[0] != w[0] -> v[0] < w[0] : (v[1] != w[1] -> v[1] < w[1] : v[2] < w[2]))
#else
#define ORDER(v) SORT(v, 0, 1); SORT(v, 2, 3); SORT(v, 0, 2); SORT(v, 1, 3); SORT(v, 1, 2)
#define EACH(f)  f(0); f(1); f(2); f(3)
#define LESS(v, w) \
	(v[0] != w[0] -> v[0] < w[0] : (v[1] != w[1] -> v[1] < w[1] : \
	(v[2] != w[2] -> v[2] < w[2] : v[3] < w[3])))
#endif
#ifdef CHAIN
#define LAST 2
#else
#define LAST 1
#endif
#define ENDS       (ALL | ALL << HALF) /* the rows of A, in both halves */
#define MIRROR(v)  (((v) & ENDS) << (LAST*ROUNDS) | (((v) >> (LAST*ROUNDS)) & ENDS) | (v) & ~(ENDS | ENDS << (LAST*ROUNDS)))
#define SWAP_TX(f) (((f) & 1) << LAST | (((f) >> LAST) & 1) | (f) & ~(1 | 1 << LAST))

hidden int twin[HONEST];
hidden int x;
hidden byte wrong;
#define REFLECT(n) twin[n] = MIRROR(votes[n])
#define ADOPT(n)   votes[n] = twin[n]
inline canonical() {
#if !defined(LATEST_LOCK) && !defined(FIRST_LOCK)
	ORDER(votes);
	EACH(REFLECT);
	ORDER(twin);
	if
	:: LESS(twin, votes) ->
		EACH(ADOPT);
		certified = MIRROR(certified);
		final = SWAP_TX(final);
		proven = SWAP_TX(proven)
	:: else -> skip
	fi
#else
	skip
#endif
}

inline vote_pending(n, t, r) {
	votes[n] = votes[n] | BIT(t, r);
	if
	:: QUORUM(COUNT(PENDING, t, r) + FAULTY) -> certified = certified | BIT(t, r)
	:: else -> skip
	fi;
	canonical()
}

inline vote_accepted(n, t, r) {
	votes[n] = votes[n] | BIT(t, r) << HALF;
#ifdef LATEST_LOCK
	held[n] = BIT(t, r);
#endif
#ifdef FIRST_LOCK
	held[n] = (held[n] -> held[n] : BIT(t, r));
#endif
	if
	:: QUORUM(COUNT(ACCEPTED, t, r) + FAULTY) -> final = final | (1 << t)
	:: else -> skip
	fi;
	if
	:: QUORUM(COUNT(ACCEPTED, t, r)) -> proven = proven | (1 << t)
	:: else -> skip
	fi;
	assert(!ANY_RIVAL(final)); /* no two honest nodes final on rivals; not all dead */
#ifndef ONLY_FINALS
	wrong = (STUCK(final) || STUCK(proven));
	assert(!wrong);            /* nothing stuck */
#endif
	canonical()
}

#define VOTE(n, t, r) \
	:: d_step { MAY_PENDING(n, t, r) -> vote_pending(n, t, r) } \
	:: d_step { MAY_ACCEPTED(n, t, r) -> vote_accepted(n, t, r) }
#if ROUNDS == 2
#define VOTES(n, t) VOTE(n, t, 0) VOTE(n, t, 1)
#elif ROUNDS == 3
#define VOTES(n, t) VOTE(n, t, 0) VOTE(n, t, 1) VOTE(n, t, 2)
#else
#define VOTES(n, t) VOTE(n, t, 0) VOTE(n, t, 1) VOTE(n, t, 2) VOTE(n, t, 3)
#endif
#ifdef CHAIN
#define NODE(n) VOTES(n, 0) VOTES(n, 1) VOTES(n, 2)
#else
#define NODE(n) VOTES(n, 0) VOTES(n, 1)
#endif

active proctype honest() {
end:
	do
	NODE(0)
	NODE(1)
	NODE(2)
#if HONEST == 4
	NODE(3)
#endif
	od
}
