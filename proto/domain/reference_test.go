package domain

import (
	"crypto/sha512"
	"math/big"
	"slices"
)

// The slow obvious twin of Check.Verify: Ed25519 under ZIP-215 as its text reads, in affine coordinates
// and numbers of any size. Nothing of the curve library is used.

func number(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic(s)
	}
	return n
}

var (
	fieldP = number("57896044618658097711785492504343953926634992332820282019728792003956564819949") // 2^255 - 19
	orderL = number("7237005577332262213973186563042994240857116359379907606001950938285454250989")  // 2^252 + 277...
	curveD = mod(new(big.Int).Mul(big.NewInt(-121665), inverse(big.NewInt(121666))))
	baseY  = mod(new(big.Int).Mul(big.NewInt(4), inverse(big.NewInt(5))))
	base   = mustPoint(encodeLE(baseY))
	origin = point{big.NewInt(0), big.NewInt(1)}
)

func mod(n *big.Int) *big.Int     { return n.Mod(n, fieldP) }
func inverse(n *big.Int) *big.Int { return new(big.Int).ModInverse(mod(new(big.Int).Set(n)), fieldP) }
func mul(a, b *big.Int) *big.Int  { return mod(new(big.Int).Mul(a, b)) }

// point is a point of -x^2 + y^2 = 1 + d x^2 y^2.
type point struct{ x, y *big.Int }

func (p point) equal(q point) bool { return p.x.Cmp(q.x) == 0 && p.y.Cmp(q.y) == 0 }

// add is the complete addition law of twisted Edwards curves (RFC 8032, section 5.1.4).
func add(p, q point) point {
	xy, yx, xx, yy := mul(p.x, q.y), mul(p.y, q.x), mul(p.x, q.x), mul(p.y, q.y)
	k := mul(curveD, mul(xx, yy))
	one := big.NewInt(1)
	return point{
		mul(mod(new(big.Int).Add(xy, yx)), inverse(new(big.Int).Add(one, k))),
		mul(mod(new(big.Int).Add(yy, xx)), inverse(new(big.Int).Sub(one, k))),
	}
}

func times(n *big.Int, p point) point {
	sum := origin
	for i := n.BitLen() - 1; i >= 0; i-- {
		sum = add(sum, sum)
		if n.Bit(i) == 1 {
			sum = add(sum, p)
		}
	}
	return sum
}

func littleEndian(b []byte) *big.Int {
	r := slices.Clone(b)
	slices.Reverse(r)
	return new(big.Int).SetBytes(r)
}

// encodeLE writes 32 bytes, little-endian.
func encodeLE(n *big.Int) []byte {
	b := make([]byte, 32)
	n.FillBytes(b)
	slices.Reverse(b)
	return b
}

func encodePoint(p point) [32]byte {
	b := encodeLE(p.y)
	b[31] |= byte(p.x.Bit(0)) << 7
	return [32]byte(b)
}

// decodePoint reads y and the sign of x. As ZIP-215 wants, y may be p or more and zero may be negative.
func decodePoint(b []byte) (point, bool) {
	y := littleEndian(b)
	sign := y.Bit(255)
	y = mod(y.SetBit(y, 255, 0))
	yy := mul(y, y)
	xx := mul(new(big.Int).Sub(yy, big.NewInt(1)), inverse(new(big.Int).Add(mul(curveD, yy), big.NewInt(1))))
	x := new(big.Int).ModSqrt(xx, fieldP)
	if x == nil {
		return point{}, false
	}
	if x.Bit(0) != sign {
		x = mod(x.Neg(x))
	}
	return point{x, y}, true
}

func mustPoint(b []byte) point {
	p, ok := decodePoint(b)
	if !ok {
		panic("not on the curve")
	}
	return p
}

// challenge is SHA-512(R || A || message) modulo the order of the base point.
func challenge(r, a, message []byte) *big.Int {
	d := sha512.Sum512(slices.Concat(r, a, message))
	h := littleEndian(d[:])
	return h.Mod(h, orderL)
}

// verifyReference: 8 s B = 8 R + 8 h A, with s below the order.
func verifyReference(c *Check) bool {
	a, onCurve := decodePoint(c.Key[:])
	r, alsoOn := decodePoint(c.Signature[:32])
	s := littleEndian(c.Signature[32:])
	if !onCurve || !alsoOn || s.Cmp(orderL) >= 0 {
		return false
	}
	h := challenge(c.Signature[:32], c.Key[:], Message(c.Tag, c.Network, c.Hash))
	eight := big.NewInt(8)
	return times(eight, times(s, base)).equal(times(eight, add(r, times(h, a))))
}
