"""What the list of cards is sorted and searched by, kept on the card itself by the database.

Whoever changes a card, a terminal or a shop need not know of it. `list_key`: cards in shops first, then those whose
terminal has no shop, then those without a terminal; inside by names with their numbers padded («Касса 2» before
«Касса 10»); shops of one name stay apart by their number, in letters, so that padded digits are those of names. `search_text`: what a card is found by, each part on a line of its own, case folded, ё as е.

A later change of the type of a column that is named here has to drop the trigger first.
"""

from django.db import migrations, models

_FOLDED = """
CREATE FUNCTION smartcards_folded(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT translate(lower(normalize(coalesce($1, ''), NFC)), 'ё' || chr(160), 'е ')
$$
"""
# Cut to what three parts of may have in one row of an index.
_NATURAL = r"""
CREATE FUNCTION smartcards_natural(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(
        regexp_replace(
            regexp_replace(smartcards_folded($1), '([0-9]+)', '0000000000\1', 'g'),
            '0*([0-9]{10,})', '\1', 'g'
        ), 200
    )
$$
"""
# A card that moves waits for a change of its new terminal's name that is not finished yet; `FOR SHARE` of both rows
# at once is not possible where there may be no shop.
_CARD = """
CREATE FUNCTION smartcards_card_in_list() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    till record;
    place text := '2';
BEGIN
    IF NEW.terminal_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.terminal_id IS DISTINCT FROM OLD.terminal_id) THEN
        PERFORM 1 FROM cabinet_terminal WHERE id = NEW.terminal_id FOR SHARE;
        PERFORM 1 FROM cabinet_shop
          WHERE id = (SELECT shop_id FROM cabinet_terminal WHERE id = NEW.terminal_id) FOR SHARE;
    END IF;
    SELECT terminal.name, terminal.imei, terminal.serial_number, terminal.shop_id, shop.name AS shop INTO till
      FROM cabinet_terminal AS terminal LEFT JOIN cabinet_shop AS shop ON shop.id = terminal.shop_id
     WHERE terminal.id = NEW.terminal_id;
    IF till.shop_id IS NOT NULL THEN
        place := '0' || smartcards_natural(till.shop) || chr(1) || translate(lpad(till.shop_id::text, 19, '0'), '0123456789', 'abcdefghij');
    ELSIF NEW.terminal_id IS NOT NULL THEN
        place := '1';
    END IF;
    NEW.list_key := place || chr(1) || smartcards_natural(till.name) || chr(1) || smartcards_natural(NEW.label);
    NEW.search_text := chr(10) || concat_ws(
        chr(10), NEW.iccid, NEW.msisdn, NEW.seen_imei, coalesce(till.imei, ''), smartcards_folded(till.serial_number),
        smartcards_folded(NEW.label), smartcards_folded(till.name), smartcards_folded(till.shop)
    );
    RETURN NEW;
END $$
"""
_CARD_TRIGGER = """
CREATE TRIGGER card_in_list BEFORE INSERT OR UPDATE OF
    iccid, msisdn, seen_imei, label, terminal_id, list_key, search_text
ON smartcards_smartcard FOR EACH ROW EXECUTE FUNCTION smartcards_card_in_list()
"""
# Cards are locked in the order in which everybody locks them.
_TERMINAL = """
CREATE FUNCTION smartcards_terminal_in_list() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM smartcards_smartcard WHERE terminal_id = NEW.id ORDER BY id FOR NO KEY UPDATE;
    UPDATE smartcards_smartcard SET list_key = '' WHERE terminal_id = NEW.id;
    RETURN NULL;
END $$
"""
_TERMINAL_TRIGGER = """
CREATE TRIGGER terminal_in_list AFTER UPDATE OF name, shop_id, imei, serial_number ON cabinet_terminal
FOR EACH ROW WHEN ((OLD.name, OLD.shop_id, OLD.imei, OLD.serial_number)
    IS DISTINCT FROM (NEW.name, NEW.shop_id, NEW.imei, NEW.serial_number))
EXECUTE FUNCTION smartcards_terminal_in_list()
"""
_SHOP = """
CREATE FUNCTION smartcards_shop_in_list() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM smartcards_smartcard
      WHERE terminal_id IN (SELECT id FROM cabinet_terminal WHERE shop_id = NEW.id)
      ORDER BY id FOR NO KEY UPDATE;
    UPDATE smartcards_smartcard SET list_key = ''
     WHERE terminal_id IN (SELECT id FROM cabinet_terminal WHERE shop_id = NEW.id);
    RETURN NULL;
END $$
"""
_SHOP_TRIGGER = """
CREATE TRIGGER shop_in_list AFTER UPDATE OF name ON cabinet_shop
FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION smartcards_shop_in_list()
"""


class Migration(migrations.Migration):
    dependencies = [
        ("cabinet", "0011_pause_of_alerts_about_a_merchant"),
        ("smartcards", "0016_stock_import"),
    ]

    operations = [
        migrations.AddField(
            model_name="smartcard",
            name="list_key",
            field=models.TextField(db_collation="C", db_default="", default="", editable=False, verbose_name="порядок в списке"),
        ),
        migrations.AddField(
            model_name="smartcard",
            name="search_text",
            field=models.TextField(db_collation="C", db_default="", default="", editable=False, verbose_name="по чему находят"),
        ),
        migrations.RunSQL(_FOLDED, "DROP FUNCTION smartcards_folded(text)"),
        migrations.RunSQL(_NATURAL, "DROP FUNCTION smartcards_natural(text)"),
        migrations.RunSQL(_CARD, "DROP FUNCTION smartcards_card_in_list()"),
        migrations.RunSQL(_CARD_TRIGGER, "DROP TRIGGER card_in_list ON smartcards_smartcard"),
        migrations.RunSQL(_TERMINAL, "DROP FUNCTION smartcards_terminal_in_list()"),
        migrations.RunSQL(_TERMINAL_TRIGGER, "DROP TRIGGER terminal_in_list ON cabinet_terminal"),
        migrations.RunSQL(_SHOP, "DROP FUNCTION smartcards_shop_in_list()"),
        migrations.RunSQL(_SHOP_TRIGGER, "DROP TRIGGER shop_in_list ON cabinet_shop"),
    ]
