// Package spelling finds what a misspelt name was meant to be.
package spelling

// Nearest returns the candidate with the least edit distance (insert, remove, replace) to text, or "" when none is near.
func Nearest(text string, candidates []string) string {
	best, bestAt := "", len(text)/3+2
	for _, c := range candidates {
		if d := distance(text, c, bestAt); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance returns the edit distance of a and b in bytes, or limit when it is not below it.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
