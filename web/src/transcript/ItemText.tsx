import { useState } from 'react'
import { Button } from '../ui/Button.tsx'

// A browser is slow to lay out many texts that are longer than this, in UTF-16 units.
const maxLength = 8000

/** A text of an agent or a tool, as plain text. Of a long one the first part, with a button for the rest. */
export function ItemText({ text, className = '' }: { text: string; className?: string }) {
  const [whole, setWhole] = useState(false)
  const long = text.length > maxLength && !whole
  return (
    <>
      <p dir="auto" className={`text-verbatim ${className}`}>
        {long ? text.slice(0, maxLength) : text}
        {long && ' …'}
      </p>
      {long && (
        <Button className="mt-2 self-start" onClick={() => setWhole(true)}>
          Show the whole text
        </Button>
      )}
    </>
  )
}

/** Says that a text or an input was too long to be recorded whole. */
export function CutNotice() {
  return <p className="text-xs text-muted">Cut: only the first 64 KiB are recorded.</p>
}
