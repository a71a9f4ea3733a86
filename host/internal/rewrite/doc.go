// Package rewrite turns the binary of a WebAssembly module into one that a host can hold to its limits, and that computes the
// same.
//
// # What is added
//
// The rewritten module charges what it does to the global [FuelGlobal], which it exports, and calls the function [YieldFunction]
// of [HostModule], which it imports, when the fuel is below zero or when calls are nested too deep. Its memory and its tables have
// maximums. Its mutable numeric globals are exported, so that a host can put them back to what they were. Data segments that lie close
// together become one where no instruction can name them.
//
// Nothing in the original code can name what is added: every index is bounded by the counts of the original module, and what is
// added comes after them. Only function indices move: the import takes the place of the first function that is not imported.
//
// # What is charged
//
// Every instruction costs 1, but nop, block, loop, else and end cost nothing, since no machine code is made of them. A cost is
// charged before it arises, where a segment of the code begins. A segment begins at the entry of a function, at the head of a
// loop, and wherever else the rewriter finds it worth the while; it reaches to the end of the construct that it begins in (the
// body, the block, the loop, or the arm of an if), and what is between them and belongs to no later segment is its own. So
// control gets to an instruction only through the beginning of its segment, and gets there again only through the beginning
// again: the two are in the same loops, and no branch leads past the one to the other. Hence
//
//	executed ≤ charged ≤ executed + slack × segments begun
//
// for what has run to its end; slack is 32. The second part is why segments begin elsewhere: code that may be left out, after an
// if, an else, a br_if, or a construct that can be left for an outer one, makes a segment of its own unless its cost fits into the
// slack of the segment that it would belong to.
//
// Bulk instructions cost what they move besides, see [BytesPerFuel].
//
// # When the guest yields
//
// Whether fuel is below zero is looked at where a function is entered that calls others or costs more than 100, at the head of a
// loop, before a bulk instruction, and within straight code after every 10,000. Whatever repeats passes one of these. So between two
// looks a guest goes through the code of one function at most, and through small functions that it calls there. The other charges
// are a subtraction.
//
// # What is refused
//
// The package reads WebAssembly 2.0. It refuses every other instruction, type and form by name, and does not validate otherwise: what
// it makes of an invalid module is for the engine to refuse. It writes everything anew in its shortest form and copies no
// instruction, so that the engine reads the same instructions as it did, however they were encoded.
package rewrite
