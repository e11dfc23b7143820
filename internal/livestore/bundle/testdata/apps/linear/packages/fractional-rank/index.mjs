// A rank between two ranks, as text that sorts by code unit.
const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const at = (s, i) => (i < s.length ? digits.indexOf(s[i]) : 0)
export function rankBetween(a, b) {
  if (a !== null && b !== null && a >= b) throw new Error(`${a} >= ${b}`)
  let out = ''
  for (let i = 0; ; i++) {
    const low = a === null ? 0 : at(a, i)
    const high = b === null ? digits.length : i < b.length ? at(b, i) : digits.length
    const mid = Math.floor((low + high) / 2)
    if (mid > low) return out + digits[mid]
    out += digits[low]
    if (high > low) b = null
  }
}
