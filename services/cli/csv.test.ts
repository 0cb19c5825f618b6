import { expect, test } from 'vitest'
import { csvLine } from './csv.ts'

test('cells are quoted where they must be, and formulas are not formulas', () => {
  expect(csvLine(['a', 'b c', 1, -2, true])).toBe('a,b c,1,-2,true\r\n')
  expect(csvLine(['a,b', 'say "no"', 'two\nlines'])).toBe('"a,b","say ""no""","two\nlines"\r\n')
  expect(csvLine(['=1+1', '+x', '-x', '@x', '\tx', '', "'x"])).toBe("'=1+1,'+x,'-x,'@x,'\tx,,'x\r\n")
  expect(csvLine(['=HYPERLINK("http://x","y")'])).toBe('"\'=HYPERLINK(""http://x"",""y"")"\r\n')
})
