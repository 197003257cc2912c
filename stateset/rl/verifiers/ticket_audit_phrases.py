"""The closed English of the metric: what is said in every ticket; `ticket_audit_roles` adds one sort's own.

A rule is `name: words`, with <another rule>, [optional], (one | another), <repeated>*; ORDER, AMOUNT, ITEM,
NAME, SHOP and FIGURE stand for the row's own. Verbs are listed once and give seven rules: `x.do` (what I or
we do, have done, will do), `x.does` (what another does), `x.done` (what is done to something), and the forms
`x.base`, `x.third`, `x.past`, `x.pp`, `x.ing`. There is no "may", "could", "if" or "or" in a commitment, on
purpose: whatever hedges, asks or dreams is not parsed.
"""

from __future__ import annotations

from stateset.rl.verifiers import ticket_audit_roles as roles

# Base form, and the irregular rest: third person, past, participle, -ing. "!" doubles the last letter.
VERBS = """
refund: refund, reimburse, repay/repays/repaid/repaid/repaying
payback: return, pay/pays/paid/paid/paying, give/gives/gave/given/giving, send/sends/sent/sent/sending,
    transfer!, credit, wire, put/puts/put/put/putting, book, hand, move
reverse: reverse, refund, return, reimburse, undo/undoes/undid/undone/undoing
issue: issue, process, approve, initiate, arrange, confirm, book, complete, start, create,
    make/makes/made/made/making, send/sends/sent/sent/sending, give/gives/gave/given/giving, grant, trigger,
    authorise, authorize, order, register, set/sets/set/set/setting, put/puts/put/put/putting, open,
    schedule, credit
give: give/gives/gave/given/giving, grant, send/sends/sent/sent/sending, issue, provide, hand, add, credit,
    book, place, put/puts/put/put/putting, offer, deposit, load
turn: turn, convert, change
send: send/sends/sent/sent/sending, ship!, dispatch, mail, post, pack, prepare, arrange, book, create,
    order, put/puts/put/put/putting, provide, supply, release, organise, organize
replace: replace, exchange, swap!, substitute
open: open, start, begin/begins/began/begun/beginning, launch, request, file, order, initiate, register,
    log!, set/sets/set/set/setting, begin, commission, raise, trigger, arrange, put/puts/put/put/putting
ask: ask, tell/tells/told/told/telling, instruct, get/gets/got/got/getting, have/has/had/had/having, urge
search: search, look, hunt
trace: trace, track, locate, find/finds/found/found/finding, investigate
email: email, send/sends/sent/sent/sending, attach, mail, prepare, create, make/makes/made/made/making,
    issue, provide, give/gives/gave/given/giving, enclose, include, add, offer, generate, forward,
    put/puts/put/put/putting
cancel: cancel!, annul!, stop!, void, withdraw/withdraws/withdrew/withdrawn/withdrawing
repair: repair, fix, mend
escalate: escalate, pass, hand, forward, transfer!, refer!, give/gives/gave/given/giving,
    bring/brings/brought/brought/bringing, send/sends/sent/sent/sending, put/puts/put/put/putting,
    take/takes/took/taken/taking
alert: alert, inform, notify, brief
take: take/takes/took/taken/taking, handle, manage
get: get/gets/got/got/getting, receive, have/has/had/had/having
ship: ship!, dispatch, send/sends/sent/sent/sending
block: block, cancel!, void, disable, deactivate, withdraw/withdraws/withdrew/withdrawn/withdrawing, replace
"""

# What each verb `x` of the list is turned into.
_VERB_RULES = """
x.do: <adv>* (<x.base> | <x.past> | (will | shall) <adv>* (<x.base> | be <x.ing>) | (am | are) <adv>*
    (<x.ing> | going to <adv>* <x.base> | (happy | glad | pleased) to <x.base>) | have <adv>* <x.pp> | (was
    | were) able to <x.base>) [out | over | off]
x.does: <adv>* (<x.third> | <x.base> | will <adv>* (<x.base> | be <x.ing>) | (is | are) <adv>* (<x.ing> |
    going to <adv>* <x.base>) | (has | have) <adv>* <x.pp> | <x.past>)
x.done: <adv>* (is | are | was | were | (has | have) [<adv>] been | (is | are) [<adv>] being | will [<adv>]
    be | gets | get | got | will get | is going to be | stands) <adv>* <x.pp> [out | over | off]
"""

COMMON = """
adv: now | just | already | also | gladly | right now | right away | straight away | at once | today |
    immediately | happily | certainly | personally | hereby | of course | indeed | therefore | instead |
    fully | then | directly | this minute | just now | this very moment | simply | naturally | here |
    shortly | kindly | duly
agent: i | we
team: our (team | warehouse | colleagues | billing team | accounts team) | the (team | warehouse) | my
    colleague
bad: broken | damaged | defective | faulty | lost | missing | wrong | old | original | late | first |
    cracked | overdue | delayed | unwanted | unlucky | dead | delivered | failed | rejected | misplaced |
    smashed
stuff: item | product | article | goods | purchase | appliance | device | unit | thing
it: it | this | that
thing: [your | the | this | that | my] <bad>* (ITEM | <stuff>) [that you ordered] [<ofme>] | it | everything
parcel: [your | the | this | that] <bad>* (parcel | package | shipment | delivery | order | ITEM | item |
    box) [<ofme>] | it | ORDER | [your | the] <bad>* (parcel | package) (with | containing) [your | the]
    ITEM
ofme: (from | of | in | on | under | for) <order>
order: [your] ORDER | your (order | purchase) | this order | the order
about: (for | on | from | under | in | of | with | regarding | concerning | about | against) (<order> |
    <thing>) | ORDER | as ordered | because of the (damage | mix-up | mistake | error | delay | loss)
cost: free of charge | free | for free | gratis | at no cost [to you] | at no charge | no charge | without
    charge | without any cost | at no (extra | additional) cost | at our (cost | expense) | (with | at) no
    extra charge | on us | no cost to you | nothing to pay | you pay nothing
soon: now | today | right now | right away | straight away | at once | immediately | just now | this
    (morning | afternoon | minute | very day) | shortly | without delay | as we speak | already | from (here
    | now) [on] | at last | with priority | soon | promptly | as soon as possible
card: (to | on | onto | into | for) [the | your | that] [original | same | bank | usual] (card | payment
    method | method of payment | payment card | bank account | paypal account | credit card | paypal |
    payment account | bank) [<used>] | (to | on | onto | into) [the | your] account <used> | the way you
    paid | to the original method <used>
used: [that | which] [you] (used | paid with | used to pay | paid from | used for payment | ordered with) |
    on file | [that | which] was (used | charged) | it came from | for <order>
full: full | whole | entire | complete | total | exact | purchase | original
money: [the | your | all | all of | a] <full>* (price | purchase price | amount | sum | payment | money |
    value | cost) [of (AMOUNT | <thing> | <order>)] | [the | your | all of | all] <full>* AMOUNT | every
    (cent | penny | last cent) [of (AMOUNT | the AMOUNT | it | your money | your payment | the price)] [you
    paid [us]] | what you paid | (all | everything) [that] you paid | your AMOUNT | the AMOUNT [that] you
    paid [us]
wishnoun: [a | the | your | any] [full | new | free] (refund | money back | replacement | exchange |
    cancellation | repair | return label | label | store credit | new one | new ITEM | ITEM | cash | second
    one | return | trace | code | new code | different solution | technician) | your money [back] | the
    money [back] | <thing> | <order> | another (one | ITEM)
wishverb: (cancel | return | refund | keep | exchange | replace | repair | send back) (<thing> | <order>)
    [back] | send (<thing> | <order>) back | have (<thing> | <order>) (refunded | repaired | replaced |
    cancelled | sent back)
knows: [i | we] [fully | can] (know | understand | see | hear | appreciate) [that]
wish: [<knows>] you [would | have | had | had been | were | are | also | really] (want | wanted | asked for
    | hoped for | would prefer | prefer | like | wished for | wish for | expected | requested | hoping for |
    asking for | would rather have | had hoped for | need) <wishnoun> [for <order> | for <thing> | back |
    <about>] | [<knows>] you [really | would | had | have] (want | wanted | wish | like | asked us | asked |
    hoped | prefer | preferred) to (<wishverb> | get <wishnoun>)
drop: [<knows>] you (no longer want | do not want | no longer need | do not need | need not take) <thing>
    [any more]
grant: yes | sure [thing] | of course | ok | okay | ok so | done | right | all done | no problem [at all] |
    no worries | got it | all good | certainly | gladly | absolutely | [all] sorted | consider it done |
    (this | that) is [all] (done | settled | sorted) | enjoy | no fuss | fair enough | all right | alright |
    true | [just] as you (wish | wished)
lead: well | good news | as (promised | requested | ordered) | [just] as you (wanted | asked | requested |
    hoped) | at (your (wish | request) | the customer's request) | unfortunately | sadly | i am afraid | hmm
    | ugh | oops | oh [no | dear | yes] | please | (i | we) can confirm [that] | (i | we) confirm [that] |
    please note [that] | rest assured [that] | i have good news | so | (i | we) am (happy | glad | pleased)
    to (say | tell you | confirm) [that] | in (this | your | such a) case | under our policy | <about> |
    <soon> | instead | here | for you | NAME | according to our policy | as our policy says | in line with
    our policy | bad news [about <thing>] | what a (pity | shame) [about <thing>] | that is a (pity | shame)
    | we mixed (things | the parcels) up [sorry]
conn: and | but | so | so that | then | therefore | because | since | as | while | though | tho | although |
    even though | however | and so | yet | which means [that] | also | that is why | for that reason |
    therefore | too
hello: hi | hello | hey | dear | good (morning | day | afternoon | evening) | hello there | hi there | dear
    customer
gone: (arrived | came | reached you | was delivered | got to you | turned up | has arrived | is | was | has
    been | be | being | were) [running | still | indeed | so | badly | a little | already | running so |
    really] (broken | damaged | in pieces | defective | faulty | late | overdue | delayed | lost | missing |
    gone | wrong | not right | cracked | smashed | dead | in (that | this | such a) (state | condition) | a
    disappointment | not for you | still on the way) | [has | have] (failed | broken [down] | broke | died
    [on you] | gave up | given up | stopped working | stopped | never arrived | not arrived [yet] | not come
    [yet] | not shown up | gone missing [in the post] | went missing [in the post] | got lost | been lost |
    vanished | disappeared) | does not work | did not (arrive | work | suit you | reach you | come) | is not
    (working | what you (hoped for | expected) | for you) | was not what you ordered | should have reached
    you (already | by now)
trouble: <named> <gone> | <carton> <gone> | your parcel is <gone.far> | the [wrong | incorrect] (item |
    article | product | thing | one | ITEM | parcel) (reached you | arrived | turned up | was sent | came |
    was delivered) | you [have] (are still waiting | received something else | were charged twice | were
    billed twice | were charged double | had to wait | have to wait | paid twice | had [this] trouble |
    received the wrong (item | product | article) | got the wrong (item | product | one) | were hurt | got
    hurt | got injured | were injured | have been waiting | burned yourself | had such bad luck | had an
    accident) | [your | the] (gift card | ITEM) [code] (failed | was rejected | does not work | did not work
    | is not working | was refused) | this happened [to you] | (it is | its) taking so long [NAME]
named: [your | the | this] <bad>* (ITEM | <stuff>) [that you ordered] [<ofme>]
gone.far: already travelling to you | on its way already
carton: [your | the | this] <bad>* (parcel | package | shipment | delivery | order | ITEM | item | box)
    [<ofme>] | ORDER
woe: [the | your | this | that | such] (damage | delay | mix-up | mixup | inconvenience | trouble | wait |
    loss | mistake | double charge | duplicate charge | bad news | accident | injury | incident | error |
    confusion | disappointment | frustration | double payment | problem | card trouble | defect | long wait
    | wrong (item | parcel | article)) [with <thing> | with <order> | [with] <about> | this caused you | to
    <thing>] | your (injury | burn | hand | pain) | the <bad> ITEM | <thing> | <parcel>
sorry: [i | we] [am | are] [so | very | really | truly | terribly] sorry ([that | to (hear | learn | read |
    see) [that]] <trouble> | (about | bout | for | to (hear | learn | read) [about | of]) (<woe> | this |
    that | it | what happened [to you])) | [my | our] [sincere] apologies [for <woe>] | [i | we] apologise
    for <woe> | [i | we] apologize for <woe> | [so | very] sorry [again] | i am [so | very] sorry | that
    must (be | have been) (a disappointing parcel | disappointing | annoying | painful | frustrating | a
    shock) | sorry for this | (waiting | a dead ITEM | that) is (annoying | frustrating | a nuisance [at the
    checkout]) [i know] | oh no a broken ITEM is no fun | [i | we] hope you (feel better soon | are all
    right | recover (soon | quickly) | are okay) | get well soon | [i | we] understand (that waiting is
    annoying | your (frustration | disappointment | concern | worry)) | a broken ITEM is no fun
thanks: (thank you | thanks | many thanks) [again | so much | very much] [for <for>] | thanks a lot | i see
    your (message | point)
for: your (patience | message | understanding | order | interest | question | report | note | email |
    honesty | kind words | concern) | (letting us know | telling us | writing [to us] | getting in touch |
    contacting us | reaching out | reporting (this | it | the damage | the trouble with the card) | asking |
    checking | bringing this to our attention | flagging (this | it) | raising this [serious matter] | being
    patient | spotting (the wrong parcel | this | that) | waiting [so patiently] | bearing with us |
    shopping with us | describing the problem so well | explaining [the defect | your change of plan] |
    pointing (this | it) out | pointing out the mix-up | checking your statement so carefully | sending us
    the [card] details | (checking [on] | sending us | writing about | describing | looking at | reporting |
    spotting | noticing | emailing us | mentioning) (<thing> | <parcel> | your [bank] statement | the
    [broken | old] code | this matter | <woe> | the wrong ITEM) | trusting us) [about <thing> | early | this
    | so quickly | so fast | in time | about <for.more> | while the window is open] | asking about <parcel>
    | showing us the damage | the (message | details | note) [about <thing>] | this | writing about <thing>
for.more: it | this | that | the second charge | the double charge | the mix-up | the damage | your change
    of plans | the accident | the incident | <parcel>
bye: [kind | best | warm | with kind | with best] (regards | wishes) [from SHOP | NAME] [the SHOP team |
    your SHOP team | from SHOP | SHOP] | the SHOP team | your SHOP team | SHOP [team | support] | cheers
    [SHOP support | NAME | SHOP] | take care [NAME] | all the best [NAME] | have a (nice | good | great |
    lovely | wonderful) (day | evening | week | weekend | one) | (write back | write to us | let us know |
    let me know | just ask | get in touch | contact us | reply [here] | please let us know) if (anything is
    unclear | you (have | need) [any] [more | further | other] (questions | help | anything else | anything)
    | anything else comes up) | (we | i) [am | are] here if you need (us | anything | help) | yours
    [sincerely | truly | faithfully] | sincerely | see you soon | [i | we] hope (this | that) helps | stay
    safe
looked: [i | we] have [just] (looked (up | at | into) (<order> | <thing> | your purchase date | your message
    | your case) | checked (where your parcel is | <order> | <thing> | your gift card) | read your message |
    found both payments) | [i | we] (checked | looked up | looked into | looked at | read | found | got)
    (<order> | your (message | case | order) | where your parcel is | <thing> | both payments) | [hi] had a
    look at <order> | [i | we] [can] see (two charges | the (double | second | duplicate) (payment | charge)
    | that <trouble> | <trouble> | your parcel went missing in the post | that the wrong thing turned up |
    the wrong thing turned up) | you are [absolutely | quite] (right | correct) | happy to help [with that]
    | i am [very] happy to (help [with that] | tell you) | that is clearly not your ITEM | paying twice is
    not okay i agree | (this | it) is an important matter | your (report | message | case) matters to us |
    we take (your message | this) [very] seriously | your message has had my full attention | plans change |
    [oh yes] that went through twice | a (gift card | ITEM) ought to work | <thing> may [certainly] come
    back | [of course] you may change your mind | [i | we] understand your plans have changed | [i | we]
    understand you changed your plans | [your] plans [have] changed | changing your mind is [perfectly] fine
    | that was not what you ordered | not every ITEM suits everybody | got your message | <thing> is not
    right | [i | we] (understand | see) that <thing> (is not right | was a disappointment) | you should have
    received the ITEM | your ITEM is indeed overdue | [i | we] (just | also) (saw | see | checked) (two
    charges | <thing>) [on <order>] | <thing> did not suit you | that is a nuisance at the checkout | [i |
    we] checked <order> | a pity the ITEM did not suit you | it (happens | is understandable | is no trouble
    at all) | safety comes first | your safety matters [to us] | i (see | hear) you | you no longer need
    <thing> | this is [a] (serious [matter] | important [matter]) | thats what we are here for | [sure] here
    is the answer | good question | easy one | gladly | <thing> [(has | had)] left our warehouse already
mail: [you will | you are going to | you] [also] (get | receive) (a | an | our) [short] (confirmation |
    email) [by email | to confirm [it | this]] | the confirmation is in your inbox | (keep | please keep) an
    eye on (the door | your inbox | your email) | check your (inbox | email | mail) | you do not (need |
    have) to (do anything [else | more] | pay [for] anything | worry) | nothing else is needed [from you] |
    there is nothing (else | [else] for you) to (do | pay) | no (action | further action) is needed [from
    you] | [there is] no need to do anything | you need do nothing
hand: by email | (to | in) your (inbox | email | email address | mailbox) | via email | to the [email]
    address on (file | <order>) | to your address | to the address (on | of | from) <order> | to you | for
    you | to your (home | door | doorstep) | in the post | to the email address on file
unit: <lead> | <conn> | <hello> | <sorry> | <thanks> | <bye> | <looked> | <mail> | <deny> | <fact> | <next>
    | <drop>
early: <unit> | <grant> | <report>
late: <unit> | <report>
report: <trouble> | <woeful>
remark: <early>* [<wish> [<conn> <late>*]]
sentence: (<early> | <commit>)* [<wish> [<conn> (<late> | <commit>)*]]
"""


def _forms(verb: str) -> list[str]:
    """Base, third person, past, participle, -ing."""
    if "/" in verb:
        return verb.split("/")
    base, stem = verb.rstrip("!"), verb.rstrip("!") + (verb.rstrip("!")[-1] if verb.endswith("!") else "")
    if base.endswith("e"):
        return [base, base + "s", base + "d", base + "d", base[:-1] + "ing"]
    if base.endswith("fy"):
        return [base, base[:-1] + "ies", base[:-1] + "ied", base[:-1] + "ied", base + "ing"]
    many = base + ("es" if base.endswith(("ch", "sh", "ss", "x")) else "s")
    return [base, many, stem + "ed", stem + "ed", stem + "ing"]


def _lines(text: str) -> dict[str, str]:
    """The rules of a text, by name; an indented line goes on with the one before."""
    lines = text.replace("\n    ", " ").strip().splitlines()
    return {name: right for name, _, right in (line.partition(": ") for line in lines)}


def _verb_rules() -> dict[str, str]:
    rules = {}
    for name, verbs in _lines(VERBS).items():
        forms = zip(*(_forms(verb.strip()) for verb in verbs.split(",")), strict=True)
        for form, spelled in zip(("base", "third", "past", "pp", "ing"), forms, strict=True):
            rules[f"{name}.{form}"] = " | ".join(spelled)
        rules |= _lines(_VERB_RULES.replace("x.", f"{name}."))
    return rules


def rules(resolution: str, allowed: frozenset[str], kind: str | None) -> dict[str, str]:
    """Every rule of the grammar for one sort of row, by name."""
    own = roles.ANSWERS if resolution == "answer" else roles.ROLES[resolution]
    found = _verb_rules() | _lines(COMMON) | _lines(roles.SHARED) | _lines(own)
    if resolution == "answer":
        found |= {"deny": "<never>", "commit": f"<answer.{kind}>"}
    else:
        found |= roles.denied({resolution, *allowed}) | _lines(roles.DENIALS)
    returns = "return_label" in allowed or resolution == "return_label"
    found["backwhen"] = found["back.when"] if returns else found["back.never"]
    found["labels"] = found["label.too"] if returns else found["back.never"]
    return found
