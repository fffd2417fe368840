/** The logo: a round door with its handle. */
export function Logo({ small = false }: { small?: boolean }) {
  return (
    <svg
      viewBox="0 0 32 32"
      aria-hidden="true"
      className={`${small ? 'size-6' : 'size-12'} shrink-0 fill-none stroke-accent stroke-2`}
    >
      <circle cx="16" cy="16" r="13" />
      {!small && <circle cx="16" cy="16" r="9.5" className="stroke-1 opacity-40" />}
      <path d="M16 8v16M20 16h3" strokeLinecap="round" />
    </svg>
  )
}
