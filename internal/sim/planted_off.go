//go:build !planted

package sim

// planted is the bug of this package's own shell that is switched on: none, in any build but one with the tag planted.
const planted = ""
