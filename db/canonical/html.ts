/** Text that an old service escaped for HTML before it stored it. Pure. */

/**
 * The names of HTML 4, and those of HTML 5 for signs of an address: a code point in hexadecimal, and the names of it and of
 * those that follow.
 */
const NAMES = `
  22 quot, 26 amp apos, 2b plus, 2e period, 3c lt, 3e gt, 40 commat, 5f lowbar,
  a0 nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute
  micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig
  Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash
  Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute
  ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc
  uuml yacute thorn yuml,
  152 OElig oelig, 160 Scaron scaron, 178 Yuml, 192 fnof, 2c6 circ, 2dc tilde,
  391 Alpha Beta Gamma Delta Epsilon Zeta Eta Theta Iota Kappa Lambda Mu Nu Xi Omicron Pi Rho,
  3a3 Sigma Tau Upsilon Phi Chi Psi Omega,
  3b1 alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigmaf sigma tau
  upsilon phi chi psi omega,
  3d1 thetasym upsih, 3d6 piv, 2002 ensp emsp, 2009 thinsp, 200c zwnj zwj lrm rlm, 2013 ndash mdash,
  2018 lsquo rsquo sbquo, 201c ldquo rdquo bdquo, 2020 dagger Dagger bull, 2026 hellip, 2030 permil,
  2032 prime Prime, 2039 lsaquo rsaquo, 203e oline, 2044 frasl, 20ac euro, 2111 image, 2118 weierp, 211c real,
  2122 trade, 2135 alefsym, 2190 larr uarr rarr darr harr, 21b5 crarr, 21d0 lArr uArr rArr dArr hArr, 2200 forall,
  2202 part exist, 2205 empty, 2207 nabla isin notin, 220b ni, 220f prod, 2211 sum minus, 2217 lowast, 221a radic,
  221d prop infin, 2220 ang, 2227 and or cap cup int, 2234 there4, 223c sim, 2245 cong, 2248 asymp, 2260 ne equiv,
  2264 le ge, 2282 sub sup nsub, 2286 sube supe, 2295 oplus, 2297 otimes, 22a5 perp, 22c5 sdot,
  2308 lceil rceil lfloor rfloor, 2329 lang rang, 25ca loz, 2660 spades, 2663 clubs, 2665 hearts diams
`;

const ENTITIES: ReadonlyMap<string, string> = new Map(
  NAMES.trim()
    .split(',')
    .flatMap((run) => {
      const [first = '', ...names] = run.trim().split(/\s+/);
      const from = Number.parseInt(first, 16);
      return names.map((name, place): [string, string] => [name, String.fromCodePoint(from + place)]);
    }),
);

/** Written in any letter case. */
const BASIC: ReadonlySet<string> = new Set(['amp', 'lt', 'gt', 'quot', 'apos']);

/** What 128 to 159 mean in HTML: Windows-1252. */
const WINDOWS_1252 =
  '\u20ac\u0081\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u008d\u017d\u008f' +
  '\u0090\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u009d\u017e\u0178';

/** Text of megabytes can be escaped millions of times over, and each pass reads all of it. */
export const UNESCAPED_MAX = 10;

/** Escaped once more at each change of a profile, so resolved as often. */
export function unescapeHtml(value: string): string {
  let text = value;
  for (let pass = 0; pass < UNESCAPED_MAX; pass += 1) {
    const unescaped = unescapeOnce(text);
    if (unescaped === text) break;
    text = unescaped;
  }
  return text;
}

export function unescapeOnce(value: string): string {
  if (!value.includes('&')) return value;
  return value.replace(
    /&(?:#0*(\d{1,7})|#x0*([0-9a-f]{1,6})|([a-z][a-z0-9]{1,7}));/gi,
    (all, decimal, hex, name) => {
      if (name !== undefined) return named(String(name)) ?? all;
      const point = Number.parseInt(decimal ?? hex, decimal === undefined ? 16 : 10);
      if (point > 0x10ffff) return all;
      return WINDOWS_1252[point - 0x80] ?? String.fromCodePoint(point);
    },
  );
}

function named(name: string): string | undefined {
  const lower = name.toLowerCase();
  return ENTITIES.get(name) ?? (BASIC.has(lower) ? ENTITIES.get(lower) : undefined);
}
