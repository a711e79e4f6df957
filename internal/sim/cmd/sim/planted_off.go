//go:build !planted

package main

import "fmt"

func runPlanted(options) int {
	fmt.Println("build with -tags planted")
	return 2
}
